// The programs that the cluster is made of, and the Go module that pins each of them (folder tools/NAME).

/** One pinned Go module and the programs built from it. */
export interface Tool {
  /** Folder under tools/. */
  readonly name: string;
  /** Program name to Go package. */
  readonly programs: Readonly<Record<string, string>>;
  /** Variables set at link time (`-X`). */
  readonly variables?: Readonly<Record<string, string>>;
}

/** Version of Kubernetes, as its own go.mod pins it. */
export const KUBERNETES_VERSION = 'v1.37.1';

const KUBERNETES_PROGRAMS = [
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
  'kubectl',
];

/** Everything a cluster needs, the slowest build first. */
export const TOOLS = {
  kubernetes: {
    name: 'kubernetes',
    programs: Object.fromEntries(KUBERNETES_PROGRAMS.map((name) => [name, `k8s.io/kubernetes/cmd/${name}`])),
    // Without these the server reports v0.0.0, and clients that compare versions refuse it.
    variables: {
      'k8s.io/component-base/version.gitVersion': KUBERNETES_VERSION,
      'k8s.io/client-go/pkg/version.gitVersion': KUBERNETES_VERSION,
    },
  },
  etcd: { name: 'etcd', programs: { etcd: 'go.etcd.io/etcd/server/v3' } },
  containerd: {
    name: 'containerd',
    programs: {
      containerd: 'github.com/containerd/containerd/v2/cmd/containerd',
      'containerd-shim-runc-v2': 'github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2',
      ctr: 'github.com/containerd/containerd/v2/cmd/ctr',
    },
  },
  cni: {
    name: 'cni',
    programs: {
      bridge: 'github.com/containernetworking/plugins/plugins/main/bridge',
      loopback: 'github.com/containernetworking/plugins/plugins/main/loopback',
      'host-local': 'github.com/containernetworking/plugins/plugins/ipam/host-local',
      portmap: 'github.com/containernetworking/plugins/plugins/meta/portmap',
    },
  },
  coredns: { name: 'coredns', programs: { coredns: '.' } },
  pause: { name: 'pause', programs: { pause: '.' } },
  purge: { name: 'purge', programs: { purge: '.' } },
  helm: { name: 'helm', programs: { helm: 'helm.sh/helm/v4/cmd/helm' } },
  pebble: {
    name: 'pebble',
    programs: {
      pebble: 'github.com/letsencrypt/pebble/v2/cmd/pebble',
      'pebble-challtestsrv': 'github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv',
    },
  },
  stepca: { name: 'stepca', programs: { 'step-ca': '.' } },
  zlint: { name: 'zlint', programs: { zlint: 'github.com/zmap/zlint/v3/cmd/zlint' } },
  // Cases for servers of HTTP/2 and HPACK, for tests.
  h2spec: { name: 'h2spec', programs: { h2spec: 'github.com/summerwind/h2spec/cmd/h2spec' } },
  // Interoperability cases of gRPC, for tests: grpc-go's own client and server.
  grpcinterop: {
    name: 'grpcinterop',
    programs: {
      client: 'google.golang.org/grpc/interop/client',
      server: 'google.golang.org/grpc/interop/server',
    },
  },
  // Back end and load generator of the data-plane benchmark.
  load: { name: 'load', programs: { load: '.' } },
  // A server and a client of Go's crypto/tls, for tests.
  peer: { name: 'peer', programs: { peer: '.' } },
  // Vault's engines behind Vault's paths, for tests.
  vault: { name: 'vault', programs: { vault: '.' } },
} as const satisfies Readonly<Record<string, Tool>>;

/** Name of a pinned tool. */
export type ToolName = keyof typeof TOOLS;

/** What a whole cluster needs. */
export const CLUSTER_TOOLS: readonly ToolName[] = [
  'kubernetes',
  'etcd',
  'containerd',
  'cni',
  'coredns',
  'pause',
  'purge',
  'helm',
];

/** What etcd and kube-apiserver alone need. */
export const CONTROL_PLANE_TOOLS: readonly ToolName[] = ['kubernetes', 'etcd'];
