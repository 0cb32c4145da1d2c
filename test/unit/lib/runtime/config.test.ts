// Settings from the environment: typed, bounded, and every fault named at once.
import { describe, expect, test } from '@jest/globals';
import { ConfigReader } from '../../../../lib/runtime/config.ts';

function fault(environment: Record<string, string>, read: (reader: ConfigReader) => unknown): string {
  const reader = new ConfigReader(environment);
  read(reader);
  try {
    reader.finish({});
    return '';
  } catch (error) {
    expect(error).toMatchObject({ code: 'config_invalid' });
    return (error as Error).message.replace('the environment is not usable: ', '');
  }
}

describe('the configuration', () => {
  test('reads each kind of value', () => {
    const reader = new ConfigReader({
      NAME: 'operator-0',
      COUNT: '3',
      PORT: '16020',
      FLAG: 'true',
      MODE: 'b',
      LEVEL: 'debug',
      WAIT: '1h30m',
      LIST: 'a, b,,c ',
      RANGES: '10.0.0.0/8,fd00::/8,192.0.2.1',
    });
    expect(
      reader.finish({
        name: reader.text('NAME'),
        count: reader.integer('COUNT', { min: 0, max: 5 }),
        port: reader.port('PORT'),
        flag: reader.flag('FLAG'),
        mode: reader.choice('MODE', ['a', 'b']),
        level: reader.level('LEVEL'),
        wait: reader.durationMs('WAIT'),
        list: reader.list('LIST'),
        ranges: reader.cidrs('RANGES'),
      }),
    ).toEqual({
      name: 'operator-0',
      count: 3,
      port: 16_020,
      flag: true,
      mode: 'b',
      level: 'debug',
      wait: 5_400_000,
      list: ['a', 'b', 'c'],
      ranges: ['10.0.0.0/8', 'fd00::/8', '192.0.2.1'],
    });
  });

  test('falls back to defaults; an empty variable counts as not set, but for lists', () => {
    const reader = new ConfigReader({ EMPTY: '' });
    expect([
      reader.text('EMPTY', 'x'),
      reader.integer('COUNT', { min: 0, max: 9 }, 7),
      reader.flag('FLAG', false),
      reader.choice('MODE', ['a', 'b'], 'b'),
      reader.level('LEVEL'),
      reader.durationMs('WAIT', '10s'),
      reader.list('EMPTY', 'a,b'),
      reader.list('LIST', 'a,b'),
    ]).toEqual(['x', 7, false, 'b', 'info', 10_000, [], ['a', 'b']]);
    expect(reader.finish({})).toEqual({});
  });

  test('the settings are frozen', () => {
    expect(Object.isFrozen(new ConfigReader({}).finish({ a: 1 }))).toBe(true);
  });

  test('every fault is reported together with the name of its variable', () => {
    const message = fault({ PORT: '99999', MODE: 'c', WAIT: 'soon', RANGES: '10.0.0.0/33,x' }, (reader) => {
      reader.text('NAME');
      reader.port('PORT');
      reader.choice('MODE', ['a', 'b']);
      reader.durationMs('WAIT');
      reader.cidrs('RANGES');
    });
    expect(message.split('; ')).toEqual([
      'NAME is not set and has no default',
      'PORT is "99999" but takes a whole number from 1 to 65535',
      'MODE is "c" but takes a, b',
      'WAIT is not usable: "soon" is not a duration',
      'write for example "30s", "10m", "24h" or "90d"',
      'RANGES holds "10.0.0.0/33", which is no IP address or CIDR',
      'RANGES holds "x", which is no IP address or CIDR',
    ]);
  });

  test.each([
    ['1.5', 'COUNT is "1.5"'],
    ['0x10', 'COUNT is "0x10"'],
    ['-1', 'COUNT is "-1"'],
    ['6', 'COUNT is "6"'],
    [' 3', 'COUNT is " 3"'],
    ['9007199254740993', 'COUNT is "9007199254740993"'],
  ])('the number %p is refused', (text, start) => {
    expect(fault({ COUNT: text }, (reader) => reader.integer('COUNT', { min: 0, max: 5 }))).toContain(start);
  });

  test('port 0 is accepted only where the system may choose', () => {
    expect(fault({ PORT: '0' }, (reader) => reader.port('PORT', undefined, true))).toBe('');
    expect(fault({ PORT: '0' }, (reader) => reader.port('PORT'))).toContain('PORT is "0"');
  });

  test('a variable that is missing is one fault, not two', () => {
    const missing = (reader: ConfigReader) => [
      reader.integer('A', { min: 0, max: 1 }),
      reader.flag('B'),
      reader.durationMs('C'),
    ];
    expect(fault({}, missing)).toBe(
      'A is not set and has no default; B is not set and has no default; C is not set and has no default',
    );
  });
});
