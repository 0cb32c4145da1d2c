// The environment that the webhook would write, for a sidecar as a process of a test: pod `web-0` of service `web`, ports as they are free.
import { env } from '../../lib/api/contract.ts';

/** `tls` holds the certificate's files, `state` is the sidecar's own folder. */
export function sidecarEnvironment(
  control: { readonly port: number; readonly identity: string },
  folders: { readonly tls: string; readonly state: string },
): Readonly<Record<string, string>> {
  return {
    [env.podName]: 'web-0',
    [env.podUid]: 'uid-web',
    [env.podIps]: '127.0.0.1',
    [env.service]: 'web',
    [env.controlAddress]: `127.0.0.1:${control.port}`,
    [env.controlIdentity]: control.identity,
    TABARD_TLS_FOLDER: folders.tls,
    TABARD_STATE_FOLDER: folders.state,
    TABARD_INBOUND_PORT: '0',
    TABARD_OUTBOUND_PORT: '0',
    TABARD_ADMIN_PORT: '0',
  };
}
