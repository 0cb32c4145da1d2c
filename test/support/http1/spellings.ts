// Random ways to write a path: names of areas and steps between them, any character of them escaped, twice escaped or in the other case, with what
// servers are known to resolve, cut away or pass over. The same for the same seed.
import fc from 'fast-check';
import { runs } from '../runs.ts';

const name = fc.constantFrom('admin', 'open', 'job:run', 'see:all', 'x', 'admin', 'open', '.well-known', 'a@b', '');
const step = fc.constantFrom('.', '..', '...', '%2e', '.%2E', '..;', ';', ';a=b', '%00', '%252e', '%c0%ae', '%uff0e');
const separator = fc.oneof(
  { weight: 12, arbitrary: fc.constant('/') },
  { weight: 2, arbitrary: fc.constantFrom('//', '/./', '/../', '\\', '%2f', '%2F', '%5c', '/;/', '%252f', '%c0%af') },
);
const end = fc.oneof(
  { weight: 6, arbitrary: fc.constant('') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('/', '?x', '?/../admin', '%3f', '%23', '%20', '%09', ';x', '.', '%', '|', '+', '~'),
  },
);
const root = fc.oneof(
  { weight: 30, arbitrary: fc.constant('') },
  { weight: 1, arbitrary: fc.constantFrom('http://web', 'http://web?', 'HTTP://web', '*', '.') },
);

/** How a character is written. */
const ways = [
  'plain',
  'plain',
  'plain',
  'plain',
  'plain',
  'plain',
  'small',
  'capital',
  'twice',
  'nested',
  'case',
] as const;
type Way = (typeof ways)[number];

function written(character: string, way: Way): string {
  const code = character.charCodeAt(0).toString(16).padStart(2, '0');
  switch (way) {
    case 'plain':
      return character;
    case 'small':
      return `%${code}`;
    case 'capital':
      return `%${code.toUpperCase()}`;
    case 'twice':
      return `%25${code}`;
    case 'nested':
      return `%25${Array.from(code, (digit) => `%${digit.charCodeAt(0).toString(16)}`).join('')}`;
    case 'case':
      return character === character.toLowerCase() ? character.toUpperCase() : character.toLowerCase();
  }
}

const segment = fc.oneof(
  { weight: 3, arbitrary: name },
  {
    weight: 2,
    arbitrary: fc.tuple(name, fc.infiniteStream(fc.constantFrom(...ways))).map(([text, how]) => spelled(text, how)),
  },
  { weight: 1, arbitrary: step },
);

function spelled(text: string, how: Stream<Way>): string {
  return Array.from(text, (character) => written(character, how.next().value)).join('');
}

interface Stream<T> {
  next(): { readonly value: T };
}

const target = fc
  .tuple(root, fc.array(fc.tuple(separator, segment), { minLength: 1, maxLength: 4 }), end)
  .map(([first, parts, last]) => first + parts.flat().join('') + last);

/** So many of them, each once. */
export function spellings(count: number): readonly string[] {
  const { numRuns, seed } = runs(count);
  return [...new Set(fc.sample(target, { numRuns, seed }))];
}
