// A sidecar as the operator sees one: a client of the control API with the certificate of its pod's Secret and the address of its pod. It
// takes over the bundle that it is told and the certificate that lies in the Secret, says which it has whenever one is another, and
// goes to the other replica when the one that it speaks to is gone. No traffic.
import { X509Certificate } from 'node:crypto';
import { secretKeys } from '../../../lib/api/contract.ts';
import { controlPaths } from '../../../lib/api/control.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import { fingerprint, parseCertificates } from '../../../lib/pki/bundle.ts';
import { dataOf } from '../../../operator/certificates/secret.ts';
import { ControlTestClient, type Follower } from '../controlbench.ts';

/** Who it is, and where it finds what it needs. */
export interface ReporterDeps {
  readonly podName: string;
  readonly podUid: string;
  readonly podIp: string;
  readonly service: string;
  /** The Secret as it is mounted now. */
  readonly secret: () => Secret | undefined;
  /** Ports of the control API that answer, as far as is known. */
  readonly controlPorts: () => readonly number[];
}

const tickMs = 50;
const idle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, tickMs));

/** Reports until the signal is aborted. */
export async function runReporter(deps: ReporterDeps, signal: AbortSignal): Promise<void> {
  for (let tries = 0; !signal.aborted; tries += 1) {
    await speak(deps, tries, signal).catch(() => undefined);
    await idle();
  }
}

/** One connection, until it ends or a report is refused. */
async function speak(deps: ReporterDeps, tries: number, signal: AbortSignal): Promise<void> {
  const secret = deps.secret();
  const ports = deps.controlPorts();
  const port = ports[tries % ports.length];
  if (secret === undefined || port === undefined) return;
  const [certificate, key, bundle] = [secretKeys.certificate, secretKeys.key, secretKeys.trustBundle].map((name) =>
    dataOf(secret, name),
  ) as [string, string, string];
  const leaf = { certificate, key, bundle, serial: '', notBefore: new Date(), notAfter: new Date(), identity: '' };
  const client = await ControlTestClient.connect(port, leaf, { from: deps.podIp });
  try {
    const self = client.get(controlPaths.self);
    for (let said = ''; !signal.aborted && !client.session.destroyed && !self.ended; await idle()) {
      const report = reportOf(deps, self);
      if (report === undefined || report === said) continue;
      const [status] = await client.post(report);
      if (status !== 204) return;
      said = report;
    }
  } finally {
    client.end();
  }
}

function reportOf({ podName, podUid, secret }: ReporterDeps, self: Follower): string | undefined {
  const told = self.last;
  const held = secret();
  if (told === undefined || held === undefined) return undefined;
  const leaf = new X509Certificate(dataOf(held, secretKeys.certificate));
  return JSON.stringify({
    podName,
    podUid,
    selfVersion: told.version,
    bundleFingerprint: '',
    authorities: parseCertificates(String(told['trustBundle'])).map(fingerprint),
    serial: leaf.serialNumber,
    notAfter: leaf.validToDate.toISOString(),
    plaintext: [],
  });
}
