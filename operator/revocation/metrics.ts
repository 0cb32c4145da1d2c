// Figures of revocation on the operator: what is revoked, and how the lists of the CAs stand.
import type { ConfigMap } from '../../lib/kube/object.ts';
import type { Store } from '../../lib/kube/store.ts';
import type { Metrics } from '../../lib/runtime/metrics.ts';
import type { RevocationBook } from './book.ts';
import { crlLabel, stateIn } from './crl/store.ts';

/** Declares the gauges; they are read when metrics are asked for. */
export function observeRevocations(
  metrics: Metrics,
  { book, configMaps }: { readonly book: RevocationBook; readonly configMaps: Store<ConfigMap> },
): void {
  metrics.observedGauge(
    { name: 'tabard_revocations', help: 'TLSRevocations by how they stand.', labels: ['standing'] },
    (set) => {
      const counts = { holds: 0, ended: 0, expired: 0, unresolved: 0, refused: 0 };
      for (const { standing } of book.list()) counts[standing] += 1;
      for (const [standing, count] of Object.entries(counts)) set(count, { standing });
    },
  );
  metrics.observedGauge(
    { name: 'tabard_revocations_spreading', help: 'TLSRevocations that hold and that not every sidecar enforces yet.' },
    (set) => {
      const spreading = book
        .list()
        .filter(({ standing, object }) => standing === 'holds' && object.status?.enforcedAt === undefined);
      set(spreading.length);
    },
  );
  metrics.observedGauge(
    { name: 'tabard_revocations_number', help: 'Number of the list that sidecars are told; a higher one is newer.' },
    (set) => set(book.current().number),
  );
  metrics.observedGauge(
    {
      name: 'tabard_revocations_listed',
      help: 'Identities and serials that sidecars are told, foreign lists included.',
    },
    (set) => {
      const { entries, lists } = book.current();
      set(lists.reduce((sum, { serials }) => sum + serials.length, entries.length));
    },
  );
  const ofLists = (
    name: string,
    help: string,
    of: (state: NonNullable<ReturnType<typeof stateIn>>) => number,
  ): void => {
    metrics.observedGauge({ name, help, labels: ['ca'] }, (set) => {
      for (const map of configMaps.list()) {
        const ca = map.metadata.labels?.[crlLabel];
        const state = ca === undefined ? undefined : stateIn(map);
        if (ca !== undefined && state !== undefined) set(of(state), { ca });
      }
    });
  };
  const seconds = (at: Date): number => at.getTime() / 1_000;
  ofLists('tabard_crl_number', 'Number of the revocation list of a CA.', ({ number }) => number);
  ofLists('tabard_crl_entries', 'Certificates on the revocation list of a CA.', ({ entries }) => entries.length);
  ofLists('tabard_crl_signed_timestamp_seconds', 'When the revocation list of a CA was signed.', (of) =>
    seconds(of.thisUpdate),
  );
  ofLists(
    'tabard_crl_next_update_timestamp_seconds',
    'Until when the revocation list of a CA is good; in the past, clients that check it refuse everybody.',
    ({ nextUpdate }) => seconds(nextUpdate),
  );
}
