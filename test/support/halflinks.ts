// The relay's half of a connection on loopback.
import type { Half, OpenHalf } from '../../sidecar/relay/half.ts';
import type { Link } from '../../sidecar/relay/loopback.ts';

/** A half of the relay's end. */
export function halfOf({ socket, under }: Link, openHalf: OpenHalf): Half {
  return openHalf(socket, under === undefined ? {} : { under });
}
