// Impossible TLSPolicies and TLSIssuers: what a user wrote, the field that the API server must name, and the words in which
// it must say what is accepted.

/** One impossible spec, as YAML in flow style. */
export interface Refused {
  readonly what: string;
  readonly spec: string;
  readonly field: string;
  readonly says: string;
}

const lifetime = 'must be a duration from 10m to 90d';
const label = "at most 63 letters, digits, '-', '_' and '.'";
const dnsName = 'must be a full DNS name in lower case, such as api.example.com';
const portRange = 'must be a port number from 1 to 65535';

/** Refused TLSPolicy specs. */
export const refusedPolicies: readonly Refused[] = [
  {
    what: 'an issuer of tokens without keys',
    spec: '{authentication: {jwt: [{issuer: a}]}}',
    field: 'spec.authentication.jwt[0]',
    says: 'needs exactly one of jwksUri and jwks',
  },
  {
    what: 'an issuer of tokens with keys from two places',
    spec: '{authentication: {jwt: [{issuer: a, jwks: "{}", jwksUri: "https://a/"}]}}',
    field: 'spec.authentication.jwt[0]',
    says: 'needs exactly one of jwksUri and jwks',
  },
  {
    what: 'keys of tokens by plaintext',
    spec: '{authentication: {jwt: [{issuer: a, jwksUri: "http://a/keys"}]}}',
    field: 'spec.authentication.jwt[0].jwksUri',
    says: 'must be an https URL without user and password',
  },
  {
    what: 'a password in the URL of keys',
    spec: '{authentication: {jwt: [{issuer: a, jwksUri: "https://u:p@a/keys"}]}}',
    field: 'spec.authentication.jwt[0].jwksUri',
    says: 'must be an https URL without user and password',
  },
  {
    what: 'two entries for one issuer of tokens',
    spec: '{authentication: {jwt: [{issuer: a, jwks: "{}"}, {issuer: a, jwks: "{}"}]}}',
    field: 'spec.authentication.jwt[1]',
    says: 'Duplicate value',
  },
  {
    what: 'tokens that are required of nobody',
    spec: '{authentication: {required: true}}',
    field: 'spec.authentication',
    says: 'required needs at least one entry in jwt',
  },
  {
    what: 'a clock that may differ by an hour',
    spec: '{authentication: {jwt: [{issuer: a, jwks: "{}", clockSkew: 60m}]}}',
    field: 'spec.authentication.jwt[0].clockSkew',
    says: 'must be a duration up to 5m, such as 60s',
  },
  {
    what: 'an unknown mode',
    spec: '{mode: mutual}',
    field: 'spec.mode',
    says: '"Mutual", "ServerOnly", "Permissive", "Disabled"',
  },
  {
    what: 'a lifetime below the shortest',
    spec: '{certificate: {lifetime: 9m59s}}',
    field: 'spec.certificate.lifetime',
    says: lifetime,
  },
  {
    what: 'a lifetime above the longest',
    spec: '{certificate: {lifetime: 90d1ms}}',
    field: 'spec.certificate.lifetime',
    says: lifetime,
  },
  {
    what: 'a lifetime above the longest in hours',
    spec: '{certificate: {lifetime: 2161h}}',
    field: 'spec.certificate.lifetime',
    says: lifetime,
  },
  {
    what: 'a lifetime without a unit',
    spec: '{certificate: {lifetime: "24"}}',
    field: 'spec.certificate.lifetime',
    says: lifetime,
  },
  {
    what: 'a lifetime in words',
    spec: '{certificate: {lifetime: one day}}',
    field: 'spec.certificate.lifetime',
    says: lifetime,
  },
  {
    what: 'a lifetime with the smaller unit first',
    spec: '{certificate: {lifetime: 30m1h}}',
    field: 'spec.certificate.lifetime',
    says: lifetime,
  },
  {
    what: 'a lifetime with a fraction',
    spec: '{certificate: {lifetime: 1.5h}}',
    field: 'spec.certificate.lifetime',
    says: lifetime,
  },
  {
    what: 'a negative lifetime',
    spec: '{certificate: {lifetime: -24h}}',
    field: 'spec.certificate.lifetime',
    says: lifetime,
  },
  {
    what: 'an empty lifetime',
    spec: '{certificate: {lifetime: ""}}',
    field: 'spec.certificate.lifetime',
    says: lifetime,
  },
  {
    what: 'a lifetime of too many digits to count',
    spec: '{certificate: {lifetime: 99999999999999999999d}}',
    field: 'spec.certificate.lifetime',
    says: lifetime,
  },
  {
    what: 'a lifetime that is a number',
    spec: '{certificate: {lifetime: 24}}',
    field: 'spec.certificate.lifetime',
    says: 'must be of type string',
  },
  {
    what: 'renewal too early',
    spec: '{certificate: {renewAt: 9}}',
    field: 'spec.certificate.renewAt',
    says: 'must be from 10 to 90 (percent of the lifetime)',
  },
  {
    what: 'renewal too late',
    spec: '{certificate: {renewAt: 91}}',
    field: 'spec.certificate.renewAt',
    says: 'must be from 10 to 90 (percent of the lifetime)',
  },
  {
    what: 'a weak key',
    spec: '{certificate: {key: RSA-1024}}',
    field: 'spec.certificate.key',
    says: '"ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-3072", "RSA-4096", "Ed25519"',
  },
  {
    what: 'an issuer that can have no such name',
    spec: '{certificate: {issuer: My_CA}}',
    field: 'spec.certificate.issuer',
    says: "lower-case letters, digits, '-' and '.'",
  },
  {
    what: 'a wildcard name',
    spec: '{certificate: {dnsNames: ["*.example.com"]}}',
    field: 'spec.certificate.dnsNames[0]',
    says: 'wildcards are refused',
  },
  {
    what: 'a name without a dot',
    spec: '{certificate: {dnsNames: [api]}}',
    field: 'spec.certificate.dnsNames[0]',
    says: dnsName,
  },
  {
    what: 'a name in upper case',
    spec: '{certificate: {dnsNames: [API.example.com]}}',
    field: 'spec.certificate.dnsNames[0]',
    says: dnsName,
  },
  {
    what: 'a name with a port',
    spec: '{certificate: {dnsNames: ["api.example.com:443"]}}',
    field: 'spec.certificate.dnsNames[0]',
    says: dnsName,
  },
  {
    what: "another namespace's Service as a name",
    spec: '{certificate: {dnsNames: [a.example.com, db.bank.svc.cluster.local]}}',
    field: 'spec.certificate.dnsNames[1]',
    says: 'names of Kubernetes Services are added by Tabard itself',
  },
  {
    what: 'the same name twice',
    spec: '{certificate: {dnsNames: [a.example.com, a.example.com]}}',
    field: 'spec.certificate.dnsNames[1]',
    says: 'Duplicate value: "a.example.com"',
  },
  {
    what: '33 names',
    spec: `{certificate: {dnsNames: [${Array.from({ length: 33 }, (_, index) => `n${index}.example.com`).join(', ')}]}}`,
    field: 'spec.certificate.dnsNames',
    says: 'must have at most 32 items',
  },
  {
    what: 'a keystore of a key that never leaves the node',
    spec: '{certificate: {delivery: PodCertificate, keystores: [{format: PKCS12, passwordSecretRef: {name: a, key: b}}]}}',
    field: 'spec.certificate.keystores',
    says: 'cannot be made with delivery PodCertificate',
  },
  {
    what: 'publication of a key that never leaves the node',
    spec: '{certificate: {delivery: PodCertificate, sinks: [aws]}}',
    field: 'spec.certificate.sinks',
    says: 'cannot be published to with delivery PodCertificate',
  },
  {
    what: 'an edge certificate without a name',
    spec: '{edge: {issuer: public, dnsNames: []}}',
    field: 'spec.edge.dnsNames',
    says: 'should have at least 1 items',
  },
  {
    what: 'an edge certificate for a name of the cluster',
    spec: '{edge: {issuer: public, dnsNames: [web.shop.svc.cluster.local]}}',
    field: 'spec.edge.dnsNames[0]',
    says: 'must not be a name of a Kubernetes Service',
  },
  {
    what: 'news of revocations that may be eight days old',
    spec: '{revocation: {mode: Hard, maxAge: 8d}}',
    field: 'spec.revocation.maxAge',
    says: 'must be a duration from 1m to 7d',
  },
  {
    what: 'HSTS for eleven years',
    spec: '{http: {hsts: {maxAge: 4015d}}}',
    field: 'spec.http.hsts.maxAge',
    says: 'must be a duration from 0s to 3650d',
  },
  {
    what: 'HSTS preloading without subdomains',
    spec: '{http: {hsts: {maxAge: 365d, preload: true}}}',
    field: 'spec.http.hsts.preload',
    says: 'the preload lists of browsers take only names with includeSubDomains',
  },
  {
    what: 'HSTS preloading that nobody has confirmed',
    spec: '{http: {hsts: {maxAge: 365d, includeSubDomains: true, preload: true}}}',
    field: 'spec.http.hsts.preload',
    says: 'say so with preloadConfirmation HardlyReversible',
  },
  {
    what: 'HSTS preloading for a month',
    spec: '{http: {hsts: {maxAge: 30d, includeSubDomains: true, preload: true}}}',
    field: 'spec.http.hsts.preload',
    says: 'a maxAge of at least 365d',
  },
  {
    what: 'an unknown access log',
    spec: '{http: {accessLog: Some}}',
    field: 'spec.http.accessLog',
    says: '"None", "Denied", "All"',
  },
  { what: 'port 0', spec: '{ports: [{port: 0, mode: Disabled}]}', field: 'spec.ports[0].port', says: portRange },
  {
    what: 'port 65536',
    spec: '{ports: [{port: 65536, mode: Disabled}]}',
    field: 'spec.ports[0].port',
    says: portRange,
  },
  {
    what: 'a port by name',
    spec: '{ports: [{port: http, mode: Disabled}]}',
    field: 'spec.ports[0].port',
    says: 'must be of type integer',
  },
  {
    what: "one of the sidecar's own ports",
    spec: '{ports: [{port: 80, mode: Disabled}, {port: 16006, mode: Disabled}]}',
    field: 'spec.ports[1].port',
    says: 'must not be 16001, 16006 or 16020',
  },
  {
    what: 'a port twice',
    spec: '{ports: [{port: 80, mode: Disabled}, {port: 80, mode: Mutual}]}',
    field: 'spec.ports[1]',
    says: 'Duplicate value: {"port":80}',
  },
  {
    what: 'a port without its number',
    spec: '{ports: [{mode: Disabled}]}',
    field: 'spec.ports[0].port',
    says: 'Required value',
  },
  {
    what: 'an exception that changes nothing',
    spec: '{ports: [{port: 80}]}',
    field: 'spec.ports[0]',
    says: 'needs mode, protocol or both',
  },
  {
    what: 'an unknown protocol',
    spec: '{ports: [{port: 80, protocol: UDP}]}',
    field: 'spec.ports[0].protocol',
    says: '"TCP", "HTTP", "HTTP2", "GRPC", "Passthrough"',
  },
  {
    what: 'a mode for bytes that are left alone',
    spec: '{ports: [{port: 443, protocol: Passthrough, mode: Mutual}]}',
    field: 'spec.ports[0].mode',
    says: 'cannot be set with protocol Passthrough',
  },
  {
    what: '65 ports',
    spec: `{ports: [${Array.from({ length: 65 }, (_, index) => `{port: ${index + 1}, mode: Disabled}`).join(', ')}]}`,
    field: 'spec.ports',
    says: 'must have at most 64 items',
  },
  {
    what: 'TLS 1.1',
    spec: '{tls: {minVersion: "1.1"}}',
    field: 'spec.tls.minVersion',
    says: 'supported values: "1.2", "1.3"',
  },
  {
    what: 'a version that YAML reads as a number',
    spec: '{tls: {minVersion: 1.3}}',
    field: 'spec.tls.minVersion',
    says: 'must be of type string',
  },
  {
    what: 'an unsafe suite',
    spec: '{tls: {minVersion: "1.2", ciphers: [TLS_RSA_WITH_AES_128_CBC_SHA]}}',
    field: 'spec.tls.ciphers[0]',
    says: '"TLS_AES_256_GCM_SHA384"',
  },
  {
    what: 'no suite of TLS 1.3',
    spec: '{tls: {minVersion: "1.2", ciphers: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}}',
    field: 'spec.tls.ciphers',
    says: 'needs at least one TLS 1.3 suite: TLS_AES_256_GCM_SHA384',
  },
  {
    what: 'a suite of TLS 1.2 under TLS 1.3',
    spec: '{tls: {ciphers: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}}',
    field: 'spec.tls.ciphers',
    says: 'need minVersion "1.2"',
  },
  {
    what: 'a suite twice',
    spec: '{tls: {ciphers: [TLS_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]}}',
    field: 'spec.tls.ciphers',
    says: 'each suite may be listed once',
  },
  {
    what: 'an unknown group',
    spec: '{tls: {groups: [secp256k1]}}',
    field: 'spec.tls.groups[0]',
    says: '"X25519MLKEM768", "X25519", "P-256", "P-384"',
  },
  { what: 'no group', spec: '{tls: {groups: []}}', field: 'spec.tls.groups', says: 'should have at least 1 items' },
  {
    what: 'a group twice',
    spec: '{tls: {groups: [X25519, X25519]}}',
    field: 'spec.tls.groups',
    says: 'each group may be listed once',
  },
  {
    what: 'a connection age below the shortest',
    spec: '{connections: {maxAge: 9s}}',
    field: 'spec.connections.maxAge',
    says: 'must be a duration from 10s to 30d',
  },
  {
    what: 'a connection age above the longest',
    spec: '{connections: {maxAge: 30d1s}}',
    field: 'spec.connections.maxAge',
    says: 'must be a duration from 10s to 30d',
  },
  {
    what: 'no idle time at all',
    spec: '{connections: {idleTimeout: 0s}}',
    field: 'spec.connections.idleTimeout',
    says: 'must be a duration from 1s to 30d',
  },
  {
    what: 'a handshake that may take minutes',
    spec: '{connections: {handshakeTimeout: 2m}}',
    field: 'spec.connections.handshakeTimeout',
    says: 'must be a duration from 1s to 60s',
  },
  {
    what: 'a transport that there is not',
    spec: '{connections: {transport: Datagram}}',
    field: 'spec.connections.transport',
    says: 'Unsupported value: "Datagram"',
  },
  {
    what: 'no connections at all',
    spec: '{connections: {maxConcurrent: 0}}',
    field: 'spec.connections.maxConcurrent',
    says: 'must be from 1 to 1000000',
  },
  {
    what: 'too many connections',
    spec: '{connections: {maxConcurrent: 1000001}}',
    field: 'spec.connections.maxConcurrent',
    says: 'must be from 1 to 1000000',
  },
  {
    what: 'a label key with a space',
    spec: '{selector: {matchLabels: {"my app": web}}}',
    field: 'spec.selector.matchLabels',
    says: 'every key must be a label key',
  },
  {
    what: 'a label value with a space',
    spec: '{selector: {matchLabels: {app: my web}}}',
    field: 'spec.selector.matchLabels',
    says: label,
  },
  {
    what: 'In without values',
    spec: '{selector: {matchExpressions: [{key: app, operator: In}]}}',
    field: 'spec.selector.matchExpressions[0].values',
    says: 'In and NotIn need at least one value',
  },
  {
    what: 'Exists with values',
    spec: '{selector: {matchExpressions: [{key: app, operator: Exists, values: [a]}]}}',
    field: 'spec.selector.matchExpressions[0].values',
    says: 'Exists and DoesNotExist take none',
  },
  {
    what: 'an unknown operator',
    spec: '{selector: {matchExpressions: [{key: app, operator: Gt, values: ["1"]}]}}',
    field: 'spec.selector.matchExpressions[0].operator',
    says: '"In", "NotIn", "Exists", "DoesNotExist"',
  },
  { what: 'a field that does not exist', spec: '{mod: Mutual}', field: 'spec.mod', says: 'unknown field' },
];

/** Refused TLSIssuer specs. */
export const refusedIssuers: readonly Refused[] = [
  { what: 'no kind of issuer', spec: '{}', field: 'spec', says: 'needs exactly one kind of issuer' },
  {
    what: 'two kinds of issuer',
    spec: '{selfSigned: {}, ca: {secretRef: {name: my-ca}}}',
    field: 'spec',
    says: 'needs exactly one kind of issuer',
  },
  {
    what: 'a CA from nowhere',
    spec: '{ca: {}}',
    field: 'spec.ca',
    says: 'needs exactly one of secretRef and awsSecretsManager',
  },
  {
    what: 'Vault without TLS',
    spec: '{vault: {server: "http://vault", path: pki, role: a, auth: {tokenSecretRef: {name: a, key: b}}}}',
    field: 'spec.vault.server',
    says: 'must be an https address',
  },
  {
    what: 'a Vault path that climbs out of its engine',
    spec: '{vault: {server: "https://vault", path: pki/../sys, role: a, auth: {tokenSecretRef: {name: a, key: b}}}}',
    field: 'spec.vault.path',
    says: 'must be a mount path such as pki or pki/mesh',
  },
  {
    what: 'Vault with two ways to prove oneself',
    spec: '{vault: {server: "https://vault", path: pki, role: a, auth: {kubernetes: {role: a}, tokenSecretRef: {name: a, key: b}}}}',
    field: 'spec.vault.auth',
    says: 'needs exactly one of kubernetes and tokenSecretRef',
  },
  {
    what: 'ACME without a way to answer challenges',
    spec: '{acme: {server: "https://acme/directory", accountKeySecretRef: {name: a}, solvers: []}}',
    field: 'spec.acme.solvers',
    says: 'should have at least 1 items',
  },
  {
    what: 'an ACME solver of two kinds',
    spec: '{acme: {server: "https://acme/directory", accountKeySecretRef: {name: a}, solvers: [{http01: {}, tlsAlpn01: {}}]}}',
    field: 'spec.acme.solvers[0]',
    says: 'needs exactly one of http01, tlsAlpn01 and dns01',
  },
  {
    what: 'a Kubernetes signer without its CA',
    spec: '{kubernetesCSR: {signerName: a/b}}',
    field: 'spec.kubernetesCSR.caBundle',
    says: 'Required value',
  },
  {
    what: 'a root from two places',
    spec: '{selfSigned: {}, trust: {roots: [{name: a, pem: x, configMapRef: {name: a, key: b}}]}}',
    field: 'spec.trust.roots[0]',
    says: 'needs exactly one of pem and configMapRef',
  },
  {
    what: 'an imported list for a CA of our own',
    spec: '{selfSigned: {}, crl: {importFrom: {url: "http://crl.example.com/ca.crl"}}}',
    field: 'spec.crl.importFrom',
    says: 'is for issuers whose CA somebody else keeps',
  },
  {
    what: 'a CA for an hour',
    spec: '{selfSigned: {lifetime: 1h}}',
    field: 'spec.selfSigned.lifetime',
    says: 'must be a duration from 1d to 7300d',
  },
  {
    what: 'a CA for ever',
    spec: '{selfSigned: {lifetime: 7301d}}',
    field: 'spec.selfSigned.lifetime',
    says: 'must be a duration from 1d to 7300d',
  },
];

/** Refused TLSRevocation specs. */
export const refusedRevocations: readonly Refused[] = [
  { what: 'nothing', spec: '{}', field: 'spec', says: 'needs exactly one of identity, serial and pod' },
  {
    what: 'two things at once',
    spec: '{serial: "AB", identity: "spiffe://cluster.local/ns/shop/svc/web"}',
    field: 'spec',
    says: 'needs exactly one of identity, serial and pod',
  },
  {
    what: 'an identity of another shape',
    spec: '{identity: "spiffe://cluster.local/web"}',
    field: 'spec.identity',
    says: 'must be an identity such as spiffe://cluster.local/ns/shop/svc/web',
  },
  {
    what: 'a serial with colons',
    spec: '{serial: "AB:CD"}',
    field: 'spec.serial',
    says: 'must be upper-case hexadecimal without separators',
  },
  { what: 'an unknown reason', spec: '{serial: "AB", reason: lost}', field: 'spec.reason', says: '"keyCompromise"' },
  { what: 'an end in words', spec: '{serial: "AB", until: tomorrow}', field: 'spec.until', says: 'date-time' },
];
