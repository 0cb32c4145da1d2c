import { expect, test } from '@jest/globals';
import { unwrittenSpans } from '../../../sidecar/pages.ts';

/** A mapping as the kernel writes it, with the lines that matter and two of the others. */
function mapping(range: string, mode: string, path: string, { dirty = 0, anonymous = 0, swapped = 0 } = {}): string {
  return [
    `${range} ${mode} 0042e000 fe:01 1835021                   ${path}`,
    'Size:              45928 kB',
    'Rss:               20480 kB',
    `Private_Dirty:  ${dirty.toString().padStart(8)} kB`,
    `Anonymous:      ${anonymous.toString().padStart(8)} kB`,
    `Swap:           ${swapped.toString().padStart(8)} kB`,
    'VmFlags: rd ex mr mw me',
    '',
  ].join('\n');
}

const node = '/usr/local/bin/node';
const text = mapping('0082e000-03489000', 'r-xp', node);

test.each([
  ['code of the program', text, [{ start: 0x82e000n, bytes: 0x2c5b000n }]],
  ['constants of the program', mapping('7f00-8f00', 'r--p', node), [{ start: 0x7f00n, bytes: 0x1000n }]],
  ['what the loader has relocated', mapping('7f00-8f00', 'r--p', node, { dirty: 212, anonymous: 212 }), []],
  ['what differs from the file and was written out', mapping('7f00-8f00', 'r--p', node, { anonymous: 4 }), []],
  ['what was relocated and swapped out', mapping('7f00-8f00', 'r--p', node, { swapped: 212 }), []],
  ['what may be written', mapping('7f00-8f00', 'rw-p', node), []],
  ['what others see, too', mapping('7f00-8f00', 'r--s', node), []],
  ['what nobody may read', mapping('7f00-8f00', '---p', node), []],
  ['another file', mapping('7f00-8f00', 'r-xp', '/usr/lib/libc.so.6'), []],
  ['a program that was replaced', mapping('7f00-8f00', 'r-xp', `${node} (deleted)`), []],
  ['no file at all', mapping('7f00-8f00', 'rw-p', ''), []],
  ['nothing', '', []],
])('of a process, %s', (_what, smaps, spans) => {
  expect(unwrittenSpans(smaps, node)).toEqual(spans);
});

test('finds the program between all others', () => {
  const smaps = mapping('1000-2000', 'rw-p', '[heap]') + text + mapping('7f00-8f00', 'r-xp', '/usr/lib/libc.so.6');
  expect(unwrittenSpans(smaps, node)).toEqual([{ start: 0x82e000n, bytes: 0x2c5b000n }]);
});
