// What changes under way, seen by requests: certificates that are renewed again and again while HTTP/1.1, HTTP/2 and gRPC are read and judged,
// and peers that are revoked in the middle of calls.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { RuleMatch } from '../../../lib/api/authorization.ts';
import { captured } from '../../support/http2/captured.ts';
import { HttpLoad, type Spoken, spoken, startApplication } from '../../support/httpload.ts';
import { carried, Mesh, type Pod, refusals, until as within } from '../../support/pocketmesh.ts';
import { bothWays } from '../../support/ways.ts';

const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 90_000);
const noAdmin: RuleMatch = { name: 'no-admin', effect: 'Deny', to: [{ paths: ['/admin/*'] }] };
const published = 8080;

describe.each(bothWays)('over %s', (_, way) => {
  let mesh: Mesh;

  beforeEach(async () => {
    mesh = await Mesh.start(way);
  });
  afterEach(() => mesh.end());

  /** A pod whose requests are read. */
  async function api(kind: Spoken): Promise<Pod> {
    const port = await startApplication(mesh, kind);
    const pod = await mesh.pod('api', {
      applicationPort: port,
      self: {
        http: { hsts: 'max-age=60' },
        ports: [{ port, mode: 'Mutual', protocol: kind === 'gRPC' ? 'GRPC' : 'HTTP' }],
        authorization: { form: 1, rules: [noAdmin] },
        connections: { handshakeTimeoutMs: 60_000 },
      },
    });
    mesh.publish(published, [pod]);
    return pod;
  }

  /** A pod that asks without a pause. */
  async function asking(service: string, kind: Spoken): Promise<{ readonly pod: Pod; readonly load: HttpLoad }> {
    const pod = await mesh.pod(service, { self: { connections: { handshakeTimeoutMs: 60_000 } } });
    return { pod, load: HttpLoad.start(mesh, kind, await captured(mesh, pod, published)) };
  }

  /** Both the requests and the endless answer have got further. */
  const goesOn = async ({ load }: { readonly load: HttpLoad }, what: string): Promise<void> => {
    const { done, pieces } = load;
    await until(() => load.failed.length > 0 || (load.done > done + 30 && load.pieces > pieces + 3), what);
    expect(load.failed).toEqual([]);
  };

  describe.each(spoken)('%s', (kind) => {
    test('loses no request and no stream while both sides get new certificates, three times, which every later connection shows', async () => {
      const server = await api(kind);
      const client = await asking('shop', kind);
      const serials = [server.leaf.serial];
      const peers = [client.pod.leaf.serial];
      await goesOn(client, 'it works');
      for (let round = 0; round < 3; round += 1) {
        const [own, theirs] = [await client.pod.renew(), await server.renew()];
        peers.push(own.serial);
        serials.push(theirs.serial);
        await goesOn(client, `it works after renewal ${round}`);
      }
      expect(client.load.watchEnded).toBe(false);
      await client.load.stop();
      expect(client.load.failed).toEqual([]);
      const shown = () => new Set(carried(server).map((line) => (line['tls'] as { serial: string }).serial));
      const seen = () => new Set(carried(server).map(({ peerSerial }) => peerSerial));
      await until(() => shown().size === 4 && seen().size === 4, 'connections with each of them are logged');
      expect([shown(), seen()]).toEqual([new Set(serials), new Set(peers)]);
      expect([...refusals(server), ...refusals(client.pod)]).toEqual([]);
    }, 240_000);

    test('of a revoked peer is cut in the middle and refused from then on, with the reason; that of others goes on', async () => {
      const server = await api(kind);
      const revoked = await asking('shop', kind);
      const other = await asking('other', kind);
      await goesOn(revoked, 'shop works');
      await goesOn(other, 'other works');
      mesh.control.setRevocations({ number: 5, entries: [{ identity: revoked.pod.identity }] });
      await until(() => revoked.load.watchEnded, 'its stream is cut');
      await until(() => revoked.load.failed.length > 5, 'its requests fail');
      const { done } = revoked.load;
      await goesOn(other, 'other goes on');
      await until(() => revoked.load.failed.length > 15, 'they fail still');
      expect(revoked.load.done).toBe(done);
      expect([other.load.failed, other.load.watchEnded]).toEqual([[], false]);
      const both = [server, revoked.pod];
      await until(
        () => both.some((pod) => refusals(pod).some(({ reason }) => reason === 'revoked')),
        'new ones are refused with the reason',
      );
      const cut = both.flatMap((pod) => carried(pod)).filter(({ ending }) => ending === 'failed');
      expect(cut.map(({ reason }) => reason)).toContain('revoked');
    }, 240_000);
  });
});
