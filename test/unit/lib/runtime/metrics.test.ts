// The metrics text, as Prometheus reads it.
import { describe, expect, test } from '@jest/globals';
import { Metrics } from '../../../../lib/runtime/metrics.ts';

describe('the metrics', () => {
  test('count, measure and observe', async () => {
    const metrics = new Metrics();
    const handshakes = metrics.counter({ name: 'h_total', help: 'Handshakes.', labels: ['result'] });
    handshakes.inc({ result: 'ok' });
    handshakes.inc({ result: 'ok' }, 2);
    const open = metrics.gauge({ name: 'open', help: 'Open.', labels: ['side'] });
    open.inc({ side: 'in' });
    open.inc({ side: 'in' });
    open.dec({ side: 'in' });
    open.set(5, { side: 'out' });
    open.remove({ side: 'out' });
    metrics.histogram({ name: 's', help: 'Seconds.', buckets: [0.1, 1] }).observe(0.5);
    const text = await metrics.text();
    expect(text).toContain('# HELP h_total Handshakes.\n# TYPE h_total counter\nh_total{result="ok"} 3');
    expect(text).toContain('open{side="in"} 1');
    expect(text).not.toContain('side="out"');
    expect(text).toContain('s_bucket{le="0.1"} 0\ns_bucket{le="1"} 1\ns_bucket{le="+Inf"} 1');
    expect(metrics.contentType).toContain('text/plain');
  });

  test('a gauge that is read on demand shows what is true now, and nothing that is gone', async () => {
    const metrics = new Metrics();
    const depth = new Map([
      ['a', 1],
      ['b', 2],
    ]);
    metrics.observedGauge({ name: 'depth', help: 'Depth.', labels: ['queue'] }, (set) => {
      for (const [queue, value] of depth) set(value, { queue });
    });
    expect(await metrics.text()).toContain('depth{queue="b"} 2');
    depth.delete('b');
    depth.set('a', 7);
    const text = await metrics.text();
    expect(text).toContain('depth{queue="a"} 7');
    expect(text).not.toContain('queue="b"');
  });

  test('two processes in one test do not share a registry', async () => {
    const [one, two] = [new Metrics(), new Metrics()];
    one.counter({ name: 'same_total', help: 'x' }).inc();
    two.counter({ name: 'same_total', help: 'x' });
    expect(await two.text()).toContain('same_total 0');
  });

  test('the process figures are there when asked for', async () => {
    const metrics = new Metrics();
    metrics.collectProcess();
    expect(await metrics.text()).toContain('process_resident_memory_bytes');
  });
});
