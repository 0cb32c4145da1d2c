// docs/http-conformance.md, made of the rules and their vectors.
import type { Rfc } from './rfcs.ts';
import type { Outcome, RfcRule, Vector } from './vector.ts';

const introduction = `# Conformance with RFC 9110 and RFC 9112

What the RFCs of HTTP and HTTP/1.1 require (MUST, MUST NOT) of whoever receives, answers or forwards messages, and what the gate of a sidecar does about it ([http.md](http.md)). In their terms a gate is a gateway that
stands before one origin, with one connection to it for each of a client's, and forwards the octets that it got. Rules are told in our own words; what counts is the RFC.

Each line's vectors are octets that a unit test sends through a gate, whole and in pieces of one, two and seven octets (\`test/support/http1/rfc\`, \`test/unit/sidecar/http1/rfc.test.ts\`). The page is written from them: \`make golden\`.

*passes*: on to the other side as it was sent. *400 \`rule\`*: the gate answers, the application gets none of it, the connection ends, nothing behind it is read; [http.md](http.md#what-is-refused) has the rules.
*502 \`rule\`*: the same for an answer. **Kept** is kept to the letter. **Stricter**: refused, where the RFC has it mended or passed over. **Left**: not done, by choice. **Elsewhere**: nothing that octets at a gate could show.
`;

const stands = { kept: 'kept', stricter: '**stricter**', left: '**left**', elsewhere: 'elsewhere' } as const;

/** The page. */
export function conformancePage(rfcs: readonly Rfc[]): string {
  const counted = rfcs.flatMap(({ rules }) => rules);
  const vectors = counted.reduce((sum, { vectors: all }) => sum + all.length, 0);
  const count = (stand: RfcRule['stand']): number => counted.filter((each) => each.stand === stand).length;
  const summary = `${counted.length} rules, ${vectors} vectors: ${count('kept')} kept, ${count('stricter')} stricter, ${count('left')} left, ${count('elsewhere')} elsewhere.`;
  return [introduction, summary, '', ...rfcs.flatMap(chapter)].join('\n');
}

function chapter({ number, title, rules, others }: Rfc): readonly string[] {
  const address = `https://www.rfc-editor.org/rfc/rfc${number}`;
  return [
    `## [RFC ${number}](${address}): ${title}`,
    '',
    '| section | rule | stands | vectors |',
    '|---|---|---|---|',
    ...rules.map(({ section, rule, stand, why, vectors }) => {
      const reason = why === undefined ? '' : `. ${why}`;
      return `| [${section}](${address}#section-${section}) | ${cell(rule)} | ${stands[stand]}${cell(reason)} | ${vectors.map(told).join('; ') || '-'} |`;
    }),
    '',
    'What these sections require, or what they require besides, is for others:',
    '',
    ...others.map(({ who, sections }) => `- ${who}: ${sections.join(', ')}`),
    '',
  ];
}

function told({ what, says, outcome }: Vector): string {
  return `${cell(what)}: ${outcomeOf(outcome, says.join(''))}`;
}

function outcomeOf(outcome: Outcome, said: string): string {
  switch (outcome.kind) {
    case 'refused':
      return `${outcome.status} \`${outcome.rule}\``;
    case 'bad answer':
      return `502 \`${outcome.rule}\``;
    case 'own':
      return `${outcome.status}${outcome.ends === 'in order' ? ', and the connection ends' : ''}`;
    default:
      return passed(outcome, said);
  }
}

function passed({ through, answered, ends = 'open' }: Extract<Outcome, { kind: 'passes' }>, said: string): string {
  const end = { open: '', 'in order': ', and the connection ends', cut: ', and the connection is cut' }[ends];
  if (through === '') return 'held';
  if (through !== undefined && answered === undefined) return `the first part passes${end}`;
  if (answered === '') return `nothing of the answer passes${end}`;
  if (answered !== undefined && said.startsWith(answered)) return `the first part of the answer passes${end}`;
  return `${through === undefined && answered === undefined ? 'passes' : 'passes without it'}${end}`;
}

const cell = (text: string): string => text.replaceAll('|', '\\|');
