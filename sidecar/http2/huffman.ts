// The Huffman code of HPACK (RFC 7541 appendix B), read half an octet at a time by a table of 256 states.

/**
 * Bits of the code of each octet and, last, of EOS, one digit to the base 36 each. The code is canonical (codes of one length rise with the
 * octet, shorter ones come first), so that the lengths say all of it.
 */
const lengths = [
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca',
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds',
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn',
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq',
  'u',
].join('');

const eos = 256;
const states = 256;
/** Bits of a transition above the next state: an octet comes out; no code goes on like this. The octet is in bits 16 to 23. */
const emits = 0x100;
const fails = 0x200;

interface Node {
  readonly id: number;
  /** What follows a 0 and a 1: another node, or the octet that ends here. */
  readonly next: [Node | number | undefined, Node | number | undefined];
}

/** Made when first needed: V8 optimizes the making of it, and an idle sidecar would keep 8 MB of the compiler for that. */
let made: ReturnType<typeof tables> | undefined;

/**
 * Decodes [start, end) into `out`, which has room for eight fifths of it. The number of octets, -1 when it is no code: EOS in it, or padding
 * that is longer than seven bits or not all ones (section 5.2).
 */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number, out: Uint8Array): number {
  made ??= tables();
  const { transitions, accepts } = made;
  let state = 0;
  let length = 0;
  for (let at = start; at < end; at += 1) {
    const octet = bytes[at] ?? 0;
    const first = transitions[(state << 4) | (octet >> 4)] ?? fails;
    if ((first & emits) !== 0) out[length++] = first >> 16;
    const second = transitions[((first & 0xff) << 4) | (octet & 0xf)] ?? fails;
    if ((second & emits) !== 0) out[length++] = second >> 16;
    if (((first | second) & fails) !== 0) return -1;
    state = second & 0xff;
  }
  return accepts[state] === 1 ? length : -1;
}

function tables(): { readonly transitions: Uint32Array; readonly accepts: Uint8Array } {
  const nodes = tree();
  const transitions = new Uint32Array(states * 16);
  for (const node of nodes) {
    for (let half = 0; half < 16; half += 1) transitions[(node.id << 4) | half] = transition(nodes[0], node, half);
  }
  const accepts = new Uint8Array(states);
  for (let node = nodes[0], depth = 0; node !== undefined && depth < 8; depth += 1) {
    accepts[node.id] = 1;
    const [, one] = node.next;
    node = typeof one === 'object' ? one : undefined;
  }
  return { transitions, accepts };
}

function transition(root: Node | undefined, from: Node, half: number): number {
  let node: Node | undefined = from;
  let octet: number | undefined;
  for (let bit = 3; bit >= 0; bit -= 1) {
    const next: Node | number | undefined = node?.next[(half >> bit) & 1];
    if (next === undefined || next === eos) return fails;
    if (typeof next === 'number') octet = next;
    node = typeof next === 'number' ? root : next;
  }
  return (node?.id ?? 0) | (octet === undefined ? 0 : emits | (octet << 16));
}

/** All inner nodes, the root first. */
function tree(): readonly Node[] {
  const nodes: Node[] = [];
  const made = (): Node => {
    const node: Node = { id: nodes.length, next: [undefined, undefined] };
    nodes.push(node);
    return node;
  };
  const root = made();
  const length = (symbol: number): number => Number.parseInt(lengths.charAt(symbol), 36);
  const symbols = Array.from(lengths, (_, symbol) => symbol).sort((a, b) => length(a) - length(b) || a - b);
  let code = 0;
  let bits = 0;
  for (const symbol of symbols) {
    code <<= length(symbol) - bits;
    bits = length(symbol);
    let node = root;
    for (let bit = bits - 1; bit > 0; bit -= 1) {
      const way = (code >> bit) & 1;
      const next = node.next[way] ?? made();
      node.next[way] = next;
      if (typeof next === 'object') node = next;
    }
    node.next[code & 1] = symbol;
    code += 1;
  }
  return nodes;
}
