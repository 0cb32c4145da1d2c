// The nftables script that captures a pod's TCP traffic: tables `ip tabard` and `ip6 tabard`, replaced in one transaction,
// so that there is no moment with half of them. Pure text; docs/adr/0008-capture-and-original-destination.md says why
// each rule is as it is.
import { PROXY_UID, ports } from '../../lib/api/contract.ts';

/** What the redirect leaves alone. Ports are checked numbers and CIDRs checked texts: they are written as they are. */
export interface Exclusions {
  readonly inboundPorts: readonly number[];
  readonly outboundPorts: readonly number[];
  /** IPv4 and IPv6, with or without a prefix length. */
  readonly outboundCidrs: readonly string[];
}

/** Address family of a table. */
export type Family = 'ip' | 'ip6';

/** Name of the tables. Nothing else may use it in a pod's network namespace. */
export const TABLE = 'tabard';

/**
 * Just before the standard priority of destination NAT (-100): where another program in the pod rewrites addresses too, the
 * first chain that does so wins, and it must be the one that encrypts.
 */
export const NAT_PRIORITY = -110;

const loopback: Readonly<Record<Family, string>> = { ip: '127.0.0.0/8', ip6: '::1' };

/** The script for `nft -f -`. Run again it replaces the tables by equal ones. */
export function redirectScript(families: readonly Family[], exclusions: Exclusions): string {
  return families.map((family) => tableScript(family, exclusions)).join('');
}

function tableScript(family: Family, exclusions: Exclusions): string {
  const inbound = [ports.admin, ...exclusions.inboundPorts];
  const cidrs = exclusions.outboundCidrs.filter((cidr) => cidr.includes(':') === (family === 'ip6'));
  const leftAlone = [
    optional(`tcp dport ${set(exclusions.outboundPorts)} accept`, exclusions.outboundPorts),
    optional(`${family} daddr ${set(cidrs)} accept`, cidrs),
  ].join('');
  // `table` alone makes it if it is missing, so that `delete` always has one to delete.
  return `table ${family} ${TABLE}
delete table ${family} ${TABLE}
table ${family} ${TABLE} {
  chain inbound {
    type nat hook prerouting priority ${NAT_PRIORITY}; policy accept;
    meta l4proto != tcp accept
    iif lo accept
    tcp dport ${set(inbound)} accept
    meta l4proto tcp redirect to :${ports.inbound}
  }
  chain outbound {
    type nat hook output priority ${NAT_PRIORITY}; policy accept;
    meta l4proto != tcp accept
    meta skuid ${PROXY_UID} accept
    ${family} daddr ${loopback[family]} accept
${leftAlone}    meta l4proto tcp redirect to :${ports.outbound}
  }
  chain uncaptured_in {
    type filter hook input priority 0; policy accept;
    meta l4proto != tcp accept
    iif lo accept
    tcp dport ${set(inbound)} accept
    ct state invalid,untracked drop
  }
  chain uncaptured_out {
    type filter hook output priority 0; policy accept;
    meta l4proto != tcp accept
    oif lo accept
    meta skuid ${PROXY_UID} accept
    ct state invalid,untracked drop
    ${family} daddr ${loopback[family]} accept
${leftAlone}    ct direction original meta skuid != ${PROXY_UID} drop
  }
}
`;
}

function set(members: readonly (string | number)[]): string {
  return `{ ${[...new Set(members)].join(', ')} }`;
}

function optional(rule: string, members: readonly unknown[]): string {
  return members.length === 0 ? '' : `    ${rule}\n`;
}
