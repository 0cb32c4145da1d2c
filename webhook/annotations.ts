// The annotations that users write, read strictly: every value is checked against what is accepted before anything of it
// reaches a pod. Pure. docs/injection.md lists them; a test keeps that list and this one the same.
import { isIP } from 'node:net';
import { annotations as keys, ports, written } from '../lib/api/contract.ts';
import { acceptedShare, parseShare, type Share, withDefaultLimit } from './quantity.ts';

/** Annotations by key. */
export type Annotations = Readonly<Record<string, string>>;

/** Log levels of the sidecar. */
export const proxyLogLevels = ['error', 'warn', 'info', 'debug', 'trace'] as const;
export type ProxyLogLevel = (typeof proxyLogLevels)[number];

/** How a certificate reaches a pod; the words of TLSPolicy `certificate.delivery`. */
export const deliveries = ['Secret', 'PodCertificate'] as const;
export type Delivery = (typeof deliveries)[number];

/** What holds where no annotation says otherwise (the chart's values). */
export interface ProxyDefaults {
  readonly cpu: Share;
  readonly memory: Share;
  readonly logLevel: ProxyLogLevel;
}

/** What the annotations of one pod say, defaults filled in. */
export interface InjectionSettings {
  /** `tabard.dev/inject`: the sidecar, nothing, or the certificate alone; undefined = not written. */
  readonly inject: boolean | 'certificate' | undefined;
  /** `tabard.dev/service`; undefined = named after the owner. */
  readonly service: string | undefined;
  readonly excludeInboundPorts: readonly number[];
  readonly excludeOutboundPorts: readonly number[];
  /** Addresses and CIDRs of both families. */
  readonly excludeOutboundCidrs: readonly string[];
  readonly cpu: Share;
  readonly memory: Share;
  /** The annotation asked for these resources, so that they are set whatever the pod's own budget is. */
  readonly asksCpu: boolean;
  readonly asksMemory: boolean;
  readonly logLevel: ProxyLogLevel;
  readonly capture: 'redirect' | 'none';
  /** How the certificate reaches the pod: from its Secret, or by a key that the kubelet makes. */
  readonly delivery: Delivery;
}

/** A value that is not accepted. */
export interface AnnotationFault {
  readonly annotation: string;
  readonly value: string;
  readonly accepted: string;
}

/** Everything that is wrong at once, or the settings. */
export type AnnotationVerdict =
  | { readonly ok: true; readonly settings: InjectionSettings; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly faults: readonly AnnotationFault[] };

/** Largest number of items in a list: each becomes an element of the pod's redirect rules. */
const maximumItems = 100;

/** A service name: a DNS label short enough for the Secret's name (lib/api/contract.ts certificateSecretName). */
export const serviceNameForm = /^[a-z0-9](?:[a-z0-9-]{0,54}[a-z0-9])?$/;

const reserved: readonly number[] = [ports.outbound, ports.inbound, ports.admin];
const acceptedPorts =
  `up to ${maximumItems} TCP ports from 1 to 65535, comma-separated, such as "9090" or "5432,9090" ` +
  `(not ${reserved.join(', ')}, which are the sidecar's)`;
const acceptedCidrs = `up to ${maximumItems} IP addresses or CIDRs, comma-separated, such as "10.0.0.0/8,fd00::/8"`;
const acceptedCapture =
  '"redirect" (the default) or "none"; "cni" is not in this version: capture is set up by the tabard-redirect container';

/** What one annotation accepts, and how its value is read; `read` returns undefined for what is not accepted. */
interface Rule<T> {
  readonly accepted: string;
  readonly read: (value: string) => T | undefined;
}

/** The rules, one for each annotation that a user may write. */
export const annotationRules = {
  [keys.inject]: {
    accepted: '"true", "false" or "certificate"',
    read: (value: string) =>
      value === 'true' ? true : value === 'false' ? false : value === 'certificate' ? value : undefined,
  },
  [keys.service]: {
    accepted: 'a DNS label of at most 56 characters: lower-case letters, digits and "-", such as "checkout"',
    read: (value: string) => (serviceNameForm.test(value) ? value : undefined),
  },
  [keys.excludeInboundPorts]: { accepted: acceptedPorts, read: readPorts },
  [keys.excludeOutboundPorts]: { accepted: acceptedPorts, read: readPorts },
  [keys.excludeOutboundCidrs]: { accepted: acceptedCidrs, read: readCidrs },
  [keys.proxyCpu]: { accepted: acceptedShare.cpu, read: (value: string) => parseShare('cpu', value) },
  [keys.proxyMemory]: { accepted: acceptedShare.memory, read: (value: string) => parseShare('memory', value) },
  [keys.proxyLogLevel]: {
    accepted: `one of ${proxyLogLevels.join(', ')}`,
    read: (value: string) => proxyLogLevels.find((level) => level === value),
  },
  [keys.capture]: {
    accepted: acceptedCapture,
    read: (value: string) => (['redirect', 'none'] as const).find((each) => each === value),
  },
  [keys.delivery]: {
    accepted: '"Secret" or "PodCertificate"',
    read: (value: string) => deliveries.find((each) => each === value),
  },
} as const satisfies Readonly<Record<string, Rule<unknown>>>;

type Known = keyof typeof annotationRules;

/** The settings that annotations state. Keys of `tabard.dev/` that no rule knows are warned of: most are misspelt. */
export function readAnnotations(annotations: Annotations, defaults: ProxyDefaults): AnnotationVerdict {
  const faults: AnnotationFault[] = [];
  const read = <K extends Known>(annotation: K): ReturnType<(typeof annotationRules)[K]['read']> | undefined => {
    const value = Object.hasOwn(annotations, annotation) ? annotations[annotation] : undefined;
    if (value === undefined) return undefined;
    const rule = annotationRules[annotation];
    const result = rule.read(value) as ReturnType<(typeof annotationRules)[K]['read']> | undefined;
    if (result === undefined) faults.push({ annotation, value, accepted: rule.accepted });
    return result;
  };
  const cpu = read(keys.proxyCpu);
  const memory = read(keys.proxyMemory);
  const settings: InjectionSettings = {
    inject: read(keys.inject),
    service: read(keys.service),
    excludeInboundPorts: read(keys.excludeInboundPorts) ?? [],
    excludeOutboundPorts: read(keys.excludeOutboundPorts) ?? [],
    excludeOutboundCidrs: read(keys.excludeOutboundCidrs) ?? [],
    cpu: cpu === undefined ? defaults.cpu : withDefaultLimit('cpu', cpu, defaults.cpu),
    memory: memory === undefined ? defaults.memory : withDefaultLimit('memory', memory, defaults.memory),
    asksCpu: cpu !== undefined,
    asksMemory: memory !== undefined,
    logLevel: read(keys.proxyLogLevel) ?? defaults.logLevel,
    capture: read(keys.capture) ?? 'redirect',
    delivery: read(keys.delivery) ?? 'Secret',
  };
  return faults.length > 0 ? { ok: false, faults } : { ok: true, settings, warnings: unknownKeys(annotations) };
}

/** One sentence for each fault: annotation, value, what is accepted. */
export function describeFaults(faults: readonly AnnotationFault[]): string {
  return faults
    .map(({ annotation, value, accepted }) => {
      const shown = JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
      return `annotation ${annotation}: ${shown} is not accepted; it takes ${accepted}`;
    })
    .join('. ');
}

const ownKeys: readonly string[] = [written.injected, written.copied];

function unknownKeys(annotations: Annotations): readonly string[] {
  return Object.keys(annotations)
    .filter((key) => key.startsWith('tabard.dev/') && !Object.hasOwn(annotationRules, key) && !ownKeys.includes(key))
    .map((key) => `annotation ${key} is not known to this version of Tabard and has no effect`);
}

function items(value: string): readonly string[] | undefined {
  const found = value.split(',').map((item) => item.trim());
  return found.length > maximumItems ? undefined : found;
}

function readPorts(value: string): readonly number[] | undefined {
  const found = items(value);
  if (found === undefined || !found.every((item) => /^[1-9]\d{0,4}$/.test(item))) return undefined;
  const numbers = [...new Set(found.map(Number))];
  return numbers.every((port) => port <= 65_535 && !reserved.includes(port)) ? numbers : undefined;
}

function readCidrs(value: string): readonly string[] | undefined {
  const found = items(value);
  return found?.every(isAddressOrCidr) ? [...new Set(found)] : undefined;
}

function isAddressOrCidr(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  // A zone ("fe80::1%eth0") names an interface, not a destination.
  if (family === 0 || rest.length > 0 || address.includes('%')) return false;
  return bits === undefined || (/^(?:0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}
