// BIND as the name server of a test, on loopback: authoritative for one zone, which a TSIG key may change and nobody else. Debian's own
// `named` runs in the foreground, in a folder of its own, and is installed when it is missing.
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensurePackages } from '../../hack/cluster/debian.ts';
import { silentProgress } from '../../hack/cluster/progress.ts';
import { listens } from './acmeservers.ts';
import { onFreePorts, startDaemon } from './daemon.ts';

/** A running name server. */
export interface NameServer {
  /** `host:port`. */
  readonly address: string;
  readonly zone: string;
  readonly keyName: string;
  /** As in its settings: base64. */
  readonly secret: string;
  readonly output: () => string;
  stop(): Promise<void>;
}

/** Starts BIND with a zone whose every name has the address 127.0.0.1, to be changed with a key of this algorithm. */
export async function startBind(zone: string, algorithm: 'hmac-sha256' | 'hmac-sha512'): Promise<NameServer> {
  await ensurePackages(silentProgress(), { named: 'bind9' });
  const folder = mkdtempSync(join(tmpdir(), 'tabard-bind-'));
  mkdirSync(join(folder, 'keys'));
  const secret = randomBytes(32).toString('base64');
  const keyName = 'tabard-test';
  writeFileSync(join(folder, 'zone.db'), zoneFile(zone));
  return onFreePorts(1, async ([port = 0]) => {
    const config = join(folder, 'named.conf');
    writeFileSync(config, settings({ folder, port, zone, keyName, secret, algorithm }));
    const daemon = await startDaemon({
      program: '/usr/sbin/named',
      args: ['-g', '-c', config, '-n', '1', '-U', '1'],
      cwd: folder,
      ready: () => listens(port),
    });
    return {
      address: `127.0.0.1:${port}`,
      zone,
      keyName,
      secret,
      output: daemon.output,
      stop: async () => {
        await daemon.stop();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  });
}

function settings(of: {
  readonly folder: string;
  readonly port: number;
  readonly zone: string;
  readonly keyName: string;
  readonly secret: string;
  readonly algorithm: string;
}): string {
  return `
key "${of.keyName}" { algorithm ${of.algorithm}; secret "${of.secret}"; };
options {
  directory "${of.folder}";
  managed-keys-directory "${of.folder}/keys";
  pid-file none;
  session-keyfile "${of.folder}/session.key";
  listen-on port ${of.port} { 127.0.0.1; };
  listen-on-v6 { none; };
  recursion no;
  dnssec-validation no;
  notify no;
};
controls { };
zone "${of.zone}" {
  type primary;
  file "${of.folder}/zone.db";
  allow-update { key "${of.keyName}"; };
};
`;
}

function zoneFile(zone: string): string {
  return `$TTL 1
@ IN SOA ns.${zone}. hostmaster.${zone}. ( 1 60 60 60 1 )
@ IN NS ns.${zone}.
@ IN A 127.0.0.1
* IN A 127.0.0.1
ns IN A 127.0.0.1
`;
}
