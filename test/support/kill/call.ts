// A call to the API server as a test speaks of it: verb and object, read from method, path and body.

/** One call. */
export interface ApiCall {
  readonly verb: 'list' | 'watch' | 'get' | 'create' | 'update' | 'patch' | 'delete';
  /** Plural, with the subresource: `secrets`, `tlsissuers/status`. */
  readonly resource: string;
  readonly namespace: string;
  /** Empty for collections. */
  readonly name: string;
  /** What of a collection is asked for; empty = all. */
  readonly selection: string;
  readonly body: string;
}

const writes = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' } as const;

/** Reads a call. */
export function readCall(method: string, url: string, body: string): ApiCall {
  const { pathname, searchParams } = new URL(url, 'https://api');
  const [root, ...rest] = pathname.split('/').filter((part) => part !== '');
  const parts = rest.slice(root === 'api' ? 1 : 2);
  const isNamespaced = parts[0] === 'namespaces' && parts.length > 2;
  const [resource = '', name = '', subresource] = isNamespaced ? parts.slice(2) : parts;
  const selection = ['labelSelector', 'fieldSelector', 'limit']
    .flatMap((key) => {
      const value = searchParams.get(key);
      // Pages are as long as they are; one object alone is a question of another kind.
      return value === null || (key === 'limit' && value !== '1') ? [] : [`${key}=${value}`];
    })
    .join(' ');
  return {
    verb: verbOf(method, name, searchParams),
    resource: subresource === undefined ? resource : `${resource}/${subresource}`,
    namespace: isNamespaced ? (parts[1] ?? '') : '',
    name,
    selection,
    body,
  };
}

/** Whether a call changes nothing. */
export function isRead({ verb }: ApiCall): boolean {
  return verb === 'list' || verb === 'watch' || verb === 'get';
}

function verbOf(method: string, name: string, query: URLSearchParams): ApiCall['verb'] {
  if (method !== 'GET') return writes[method as keyof typeof writes];
  if (query.has('watch')) return 'watch';
  return name === '' ? 'list' : 'get';
}
