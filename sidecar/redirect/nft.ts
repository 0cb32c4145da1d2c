// Runs the nft program of the image.
import { execFile } from 'node:child_process';
import { AppError, systemCode } from '../../lib/errors.ts';

/** Where Debian and the image have it. Named in full: the container's PATH is the user's to change. */
export const NFT = '/usr/sbin/nft';

/** nft answers in some 20 ms; a node under heavy load gets this long. */
const TIMEOUT_MS = 10_000;

/** Runs nft with a script on its standard input and returns what it prints. Throws AppError `redirect_failed` with what it said. */
export function runNft(args: readonly string[], script = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(NFT, [...args], { timeout: TIMEOUT_MS, env: {} }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new AppError('redirect_failed', explain(error, stderr), { cause: error }));
    });
    // When nft cannot be started or stops early, the callback above says why.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(script);
  });
}

function explain(error: Error & { readonly killed?: boolean }, stderr: string): string {
  if (systemCode(error) === 'ENOENT') return `${NFT} is missing; the redirect container must run the Tabard image`;
  if (error.killed === true) return `nft did not answer within ${TIMEOUT_MS / 1000} s; the node may be overloaded`;
  const said = stderr.trim().split('\n').slice(0, 3).join(' | ');
  return `nft refused the rules: ${said || error.message}; the node's kernel needs nf_tables with NAT and redirect (modules nf_tables, nft_chain_nat, nft_redir, nf_conntrack)`;
}
