// The cluster that the demo runs on: the embedded one (embedded.ts), or the one that kubectl points at (current.ts).
import type { Image } from '../image/oci.ts';
import type { Capture } from './wire.ts';

/** What the demo needs of a cluster. */
export interface Target {
  /** How a person calls kubectl on it. */
  readonly prompt: (args: string) => string;
  /** Lifetime of a leaf that makes sense here: how fast the kubelet hands on a changed Secret decides. */
  readonly leafLifetime: string;
  kubectl(args: readonly string[], input?: string): Promise<string>;
  helm(args: readonly string[]): Promise<string>;
  /** Makes an image usable by the cluster's nodes; the reference to use. */
  deliver(image: Image): Promise<string>;
  /** Watches the wire between pods; undefined when this machine cannot see it. */
  readonly capture: (() => Promise<Capture>) | undefined;
}
