// Joins paths of Vault's API. Everything that comes from a resource is checked here again, whatever admission saw: a path that climbs
// (`..`) or starts another query would turn "sign with this role" into any other request of the operator's token (cert-manager#8930).
import { IssuerError } from '../problem.ts';

const segment = /^[A-Za-z0-9_.-]+$/;

/** The segments of one setting, such as `pki/mesh`. Throws IssuerError `SpecInvalid` for anything that is not a plain path. */
export function segmentsOf(setting: string, path: string): readonly string[] {
  const segments = path.split('/');
  for (const each of segments) {
    if (!segment.test(each) || /^\.+$/.test(each)) {
      throw new IssuerError(
        'SpecInvalid',
        `"${path.slice(0, 100)}" cannot be the ${setting}: "${each.slice(0, 50)}" is not a plain name`,
      );
    }
  }
  return segments;
}

/** One segment, such as a role. */
export function segmentOf(setting: string, name: string): string {
  const [only, ...more] = segmentsOf(setting, name);
  if (only === undefined || more.length > 0) {
    throw new IssuerError('SpecInvalid', `"${name.slice(0, 100)}" cannot be the ${setting}: it has a slash`);
  }
  return only;
}

/** A namespace of Vault as its header takes it; undefined for the root namespace. One slash at either end is tolerated, as Vault does. */
export function namespaceOf(namespace: string | undefined): string | undefined {
  const bare = (namespace ?? '').replace(/^\/|\/$/g, '');
  return bare === '' ? undefined : segmentsOf('namespace', bare).join('/');
}

/** The URL of an API path below the server's address. Throws IssuerError `SpecInvalid` for an address that is not plain https. */
export function apiUrl(server: string, path: string): URL {
  const base = URL.parse(server);
  if (base === null || base.protocol !== 'https:' || base.username !== '' || base.search !== '' || base.hash !== '') {
    throw new IssuerError('SpecInvalid', `"${server.slice(0, 200)}" is not an https address`);
  }
  return new URL(`${base.origin}${base.pathname.replace(/\/+$/, '')}/v1/${path}`);
}
