// SETTINGS of one side (RFC 9113 section 6.5): what a gate has to keep to because of them, and the few values that it lowers so that its own
// memory stays bounded. Values that were said hold at once where they allow more, and from their ACK on where they allow less.
import { type ConnectionRule, HEADER_OCTETS, MIN_MAX_FRAME, settingIds } from './codes.ts';
import { FIRST_TABLE_SIZE } from './table.ts';

/** The most that a side may say, by the number of the setting. */
export interface Ceilings {
  /** Lowered where more is said. */
  readonly most: ReadonlyMap<number, number>;
  /** Said in its first SETTINGS where nothing is said. */
  readonly said: ReadonlyMap<number, number>;
}

/** Settings that may wait for their ACK. */
const MAX_PENDING = 32;
const ENTRY = 6;
const MAX_MAX_FRAME = 2 ** 24 - 1;
const MAX_WINDOW = 2 ** 31 - 1;

interface Values {
  readonly table: number;
  readonly frame: number;
}

/** What one side has said. */
export class Settings {
  readonly #ceilings: Ceilings;
  #values: Values = { table: FIRST_TABLE_SIZE, frame: MIN_MAX_FRAME };
  readonly #pending: Values[] = [];
  #isFirst = true;
  /** Extended CONNECT was allowed (RFC 8441). */
  connectProtocol = false;

  constructor(ceilings: Ceilings) {
    this.#ceilings = ceilings;
  }

  /** The largest payload that the other side may send. */
  get maxFrame(): number {
    return this.#pending.reduce((most, { frame }) => Math.max(most, frame), this.#values.frame);
  }

  /** The largest table that the other side's encoder may use. */
  get tableSize(): number {
    return this.#pending.reduce((most, { table }) => Math.max(most, table), this.#values.table);
  }

  /**
   * Takes the payload [start, end) of a SETTINGS frame. What goes on instead of the frame, undefined = the frame as it is, or the rule that
   * is broken.
   */
  take(octets: Buffer, start: number, end: number): Buffer | undefined | ConnectionRule {
    const said = new Set<number>();
    let { table, frame } = this.#pending.at(-1) ?? this.#values;
    let edited: Buffer | undefined;
    for (let at = start; at < end; at += ENTRY) {
      const id = octets.readUInt16BE(at);
      const value = octets.readUInt32BE(at + 2);
      const fault = faultOf(id, value);
      if (fault !== undefined) return fault;
      said.add(id);
      const most = this.#ceilings.most.get(id) ?? value;
      if (value > most) {
        edited ??= Buffer.from(octets.subarray(start - HEADER_OCTETS, end));
        edited.writeUInt32BE(most, at + 2 - start + HEADER_OCTETS);
      }
      if (id === settingIds.headerTableSize) table = Math.min(value, most);
      else if (id === settingIds.maxFrameSize) frame = value;
      else if (id === settingIds.enableConnectProtocol) this.connectProtocol = value === 1;
    }
    if (this.#pending.length === MAX_PENDING) return 'settings_flood';
    this.#pending.push({ table, frame });
    if (!this.#isFirst) return edited;
    this.#isFirst = false;
    return this.#completed(edited ?? Buffer.from(octets.subarray(start - HEADER_OCTETS, end)), said);
  }

  /** The other side has acknowledged the oldest that waits. False: none does. */
  acknowledged(): boolean {
    const values = this.#pending.shift();
    this.#values = values ?? this.#values;
    return values !== undefined;
  }

  #completed(whole: Buffer, said: ReadonlySet<number>): Buffer {
    const missing = [...this.#ceilings.said].filter(([id]) => !said.has(id));
    const more = Buffer.alloc(missing.length * ENTRY);
    for (const [index, [id, value]] of missing.entries()) {
      more.writeUInt16BE(id, index * ENTRY);
      more.writeUInt32BE(value, index * ENTRY + 2);
    }
    const completed = Buffer.concat([whole, more]);
    completed.writeUIntBE(completed.length - HEADER_OCTETS, 0, 3);
    return completed;
  }
}

function faultOf(id: number, value: number): ConnectionRule | undefined {
  if (id === settingIds.enablePush || id === settingIds.enableConnectProtocol) {
    return value > 1 ? 'bad_setting' : undefined;
  }
  if (id === settingIds.initialWindowSize) return value > MAX_WINDOW ? 'bad_initial_window' : undefined;
  if (id === settingIds.maxFrameSize) return value < MIN_MAX_FRAME || value > MAX_MAX_FRAME ? 'bad_setting' : undefined;
  return undefined;
}
