// A kubelet probe or lifecycle hook that injection rewrote: the kubelet asks the sidecar's admin port at
// `/probe/<id>` and the sidecar carries out what the user had written, from inside the pod.

/** What to carry out, against 127.0.0.1 or the pod's own address. Ports are numbers: named ports are resolved at admission. */
export type ProbeAction =
  | {
      readonly kind: 'http';
      readonly scheme: 'HTTP' | 'HTTPS';
      readonly host?: string;
      readonly port: number;
      readonly path: string;
      readonly headers: readonly { readonly name: string; readonly value: string }[];
    }
  | { readonly kind: 'tcp'; readonly host?: string; readonly port: number }
  | { readonly kind: 'grpc'; readonly port: number; readonly service: string };

/** One rewritten probe. `timeoutMs` is the kubelet's timeout for it. */
export interface RewrittenProbe {
  /**
   * The path below /probe/: `<container>/<liveness|readiness|startup>`, and for hooks, which do something when they are
   * called, `<container>/<postStart|preStop>/<token>` with a token that only readers of the pod know.
   */
  readonly id: string;
  readonly timeoutMs: number;
  readonly action: ProbeAction;
}
