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

  test('a series that is counted by itself is the one that its labels name, and shows once it was counted', async () => {
    const metrics = new Metrics();
    const bytes = metrics.counter({ name: 'bytes_total', help: 'x', labels: ['way'] });
    const count = bytes.of({ way: 'in' });
    expect(await metrics.text()).not.toContain('way=');
    count(5);
    bytes.inc({ way: 'in' }, 2);
    count();
    expect(await metrics.text()).toContain('bytes_total{way="in"} 8');
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

  test('label values and help texts are escaped', async () => {
    const metrics = new Metrics();
    metrics.counter({ name: 'x_total', help: 'one\ntwo \\', labels: ['a', 'b'] }).inc({ a: 'say "hi"\n\\' });
    expect(await metrics.text()).toBe(
      '# HELP x_total one\\ntwo \\\\\n# TYPE x_total counter\nx_total{a="say \\"hi\\"\\n\\\\",b=""} 1\n',
    );
  });

  test('series are told apart by all of their labels', async () => {
    const metrics = new Metrics();
    const counter = metrics.counter({ name: 'x_total', help: 'x', labels: ['a', 'b'] });
    counter.inc({ a: '1', b: '23' });
    counter.inc({ a: '12', b: '3' });
    counter.inc({ b: 3, a: 12 });
    const text = await metrics.text();
    expect(text).toContain('x_total{a="1",b="23"} 1\nx_total{a="12",b="3"} 2\n');
  });

  test('a bucket holds what is at its bound; what is beyond the last one is in +Inf', async () => {
    const metrics = new Metrics();
    const seconds = metrics.histogram({ name: 's', help: 'x', labels: ['k'], buckets: [1, 0.1] });
    for (const value of [0.1, 0.5, 1, 7]) seconds.observe(value, { k: 'v' });
    const text = await metrics.text();
    const expected = [
      's_bucket{k="v",le="0.1"} 1',
      's_bucket{k="v",le="1"} 3',
      's_bucket{k="v",le="+Inf"} 4',
      's_sum{k="v"} 8.6',
      's_count{k="v"} 4',
    ];
    expect(text).toContain(expected.join('\n'));
  });

  test('a family is declared once, and takes only its own labels', () => {
    const metrics = new Metrics();
    const counter = metrics.counter({ name: 'x_total', help: 'x', labels: ['a'] });
    expect(() => metrics.gauge({ name: 'x_total', help: 'x' })).toThrow(RangeError);
    expect(() => counter.inc({ b: '1' })).toThrow(RangeError);
  });
});
