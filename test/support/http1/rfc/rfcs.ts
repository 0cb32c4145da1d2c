// The two RFCs: rules with their vectors, all sections that require something of anybody (MUST, SHALL, REQUIRED), and who it is where it is not a gate.
import { connections9112 } from './connections9112.ts';
import { fields9110 } from './fields9110.ts';
import { framing9112 } from './framing9112.ts';
import { messages9112 } from './messages9112.ts';
import { methods9110 } from './methods9110.ts';
import { routing9110 } from './routing9110.ts';
import type { RfcRule } from './vector.ts';

/** One RFC. */
export interface Rfc {
  readonly number: number;
  readonly title: string;
  readonly rules: readonly RfcRule[];
  /** Every section of it with a requirement. */
  readonly sections: readonly string[];
  /** Sections whose requirements, or some of them, are for others. */
  readonly others: readonly { readonly who: string; readonly sections: readonly string[] }[];
}

const list = (text: string): readonly string[] => text.split(' ');

/** Both, the one about HTTP/1.1 first. */
export const rfcs: readonly Rfc[] = [
  {
    number: 9112,
    title: 'HTTP/1.1',
    rules: [...messages9112, ...framing9112, ...connections9112],
    sections: list(
      '1.1 2.2 2.3 3 3.2 3.2.1 3.2.2 3.2.3 3.2.4 4 5.1 5.2 6.1 6.2 6.3 7.1 7.1.1 7.1.2 7.3 7.4 8 9.2 9.3 9.3.2 9.6 9.7 9.8 10.1',
    ),
    others: [
      { who: 'what the words mean', sections: ['1.1'] },
      {
        who: 'clients and user agents, as they write requests',
        sections: list('2.2 3.2 3.2.1 3.2.2 3.2.3 3.2.4 6.1 6.3 7.4 9.3 9.3.2 9.6'),
      },
      { who: 'user agents, as they read answers', sections: list('5.2 6.3') },
      { who: 'registries', sections: ['7.3'] },
      { who: 'readers of the media type message/http', sections: ['10.1'] },
    ],
  },
  {
    number: 9110,
    title: 'HTTP semantics',
    rules: [...fields9110, ...routing9110, ...methods9110],
    sections: list(
      '2.2 2.3 2.4 3.3 4.2.1 4.2.2 4.2.4 4.3.4 5.1 5.3 5.4 5.5 5.6.1.1 5.6.1.2 5.6.3 5.6.4 5.6.7 6 6.2 6.5.1 6.5.2 6.6.1 7.1 7.2 7.4 7.6 7.6.1 7.6.2 7.6.3 ' +
        '7.7 7.8 8.3.3 8.4 8.6 8.7 8.8.2.1 8.8.3 9.1 9.2.1 9.2.2 9.3.2 9.3.4 9.3.6 9.3.7 9.3.8 10.1.1 10.1.3 10.1.4 10.1.5 10.2.1 10.2.2 11.2 11.5 11.6.1 ' +
        '11.6.2 11.7.1 12.4.2 12.5.3 12.5.4 12.5.5 13.1.1 13.1.2 13.1.3 13.1.4 13.1.5 13.2.1 13.2.2 14.1.2 14.2 14.3 14.4 15 15.2 15.2.2 15.3.6 15.3.7 ' +
        '15.3.7.1 15.3.7.2 15.3.7.3 15.4.5 15.4.8 15.5.2 15.5.6 15.5.8 15.5.20 15.5.22 16.1.1 16.2.1 16.3.1 16.4.1 16.4.2 16.5.1 16.6.1 16.7',
    ),
    others: [
      { who: 'what the words mean', sections: ['2.2'] },
      {
        who: 'clients and user agents',
        sections: list(
          '4.2.2 4.3.4 6 6.2 7.2 7.8 9.3.6 9.3.7 9.3.8 10.1.1 10.1.3 10.1.4 10.1.5 10.2.2 12.4.2 12.5.4 13.1.5 14.3 15 15.2 15.3.7 15.3.7.2 15.3.7.3 15.4.8',
        ),
      },
      {
        who: 'origins, about what they keep and how they answer',
        sections: list(
          '6.6.1 7.4 7.8 8.6 8.7 8.8.2.1 8.8.3 9.2.1 9.3.2 9.3.4 9.3.6 10.1.1 10.2.1 12.5.3 13.1.1 13.1.2 13.1.3 13.1.4 13.1.5 13.2.1 13.2.2 14.2 15.3.6 15.3.7 15.3.7.1 ' +
            '15.3.7.2 15.4.5 15.5.6 15.5.22',
        ),
      },
      { who: 'readers of dates, ranges and parts', sections: list('5.6.7 13.1.3 13.1.4 14.1.2 14.4') },
      {
        who: 'senders of fields and bodies that a gate does not write',
        sections: list('5.6.1.1 6.5.1 8.3.3 8.4 11.2 11.5 7.6.3'),
      },
      { who: 'caches', sections: list('12.5.5 13.2.1 13.2.2 15.3.7.3') },
      {
        who: 'authors of fields and registries',
        sections: list('6.5.2 16.1.1 16.2.1 16.3.1 16.4.1 16.4.2 16.5.1 16.6.1 16.7'),
      },
    ],
  },
];
