// The violations of tabard/1 that stand in a file, for everyone who writes another reader: as bytes, one piece after the other.
import { readFileSync } from 'node:fs';
import type { Rule } from '../../sidecar/tunnel/codes.ts';

type Entry = string | { readonly hex: string; readonly filler?: number; readonly times?: 'until it ends' };

/** One violation; the file itself says what its fields mean. */
export interface Violation {
  readonly name: string;
  readonly rule: Rule;
  readonly code: number;
  readonly receiver: 'accepting' | 'dialling';
  readonly answers?: false;
  readonly reads?: false;
  readonly takes?: false;
  readonly send: readonly Entry[];
}

const file = new URL('../data/tunnel/violations.json', import.meta.url);

/** All of them. */
export const violations = (JSON.parse(readFileSync(file, 'utf8')) as { readonly violations: readonly Violation[] })
  .violations;

/** Its pieces, each of which is one frame or a header; the last one breaks the rule. */
export function piecesOf({ send }: Violation): readonly Uint8Array[] {
  return send.map((entry) => {
    if (typeof entry === 'string') return Buffer.from(entry, 'hex');
    return Buffer.concat([Buffer.from(entry.hex, 'hex'), Buffer.alloc(entry.filler ?? 0)]);
  });
}
