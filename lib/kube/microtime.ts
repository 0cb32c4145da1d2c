// Kubernetes' MicroTime, as Leases and Events carry it.

/** A time as MicroTime: RFC 3339 with exactly six digits of fraction. */
export function microTime(time: Date): string {
  return time.toISOString().replace('Z', '000Z');
}
