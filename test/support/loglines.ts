// Lines of a sidecar's log as tests look at them: as they were written, and beside it the facts in the words of the code.

/** A log line as it was written. */
export type LogLine = Readonly<Record<string, unknown>>;

/** A line with `source`, `destination`, `endpoint`, `application`, `peer`, `peerSerial`, `tls`, `bytesIn` and `bytesOut` beside what was written. */
export function withFacts(line: LogLine): LogLine {
  const isInbound = line['direction'] === 'inbound';
  const [own, other] = isInbound ? ['server', 'client'] : ['client', 'server'];
  return {
    ...defined({
      source: placeOf(line, 'source'),
      destination: placeOf(line, 'destination'),
      endpoint: placeOf(line, 'network.peer'),
      application: placeOf(line, 'client'),
      peer: line[isInbound ? 'source.identity' : 'destination.identity'],
      peerSerial: line[`tls.${other}.x509.serial_number`],
      tls: line['tls.established'] === undefined ? undefined : tlsOf(line, `tls.${own}.x509.serial_number`),
      bytesIn: line['source.bytes'],
      bytesOut: line['destination.bytes'],
    }),
    ...line,
  };
}

function tlsOf(line: LogLine, serial: string): object {
  return defined({
    version: `TLSv${String(line['tls.protocol.version'])}`,
    cipher: line['tls.cipher'],
    group: line['tls.curve'],
    resumed: line['tls.resumed'],
    alpn: line['tls.next_protocol'],
    started: line['tls.started'],
    serial: line[serial],
  });
}

function placeOf(line: LogLine, name: string): string | undefined {
  const [address, port] = [line[`${name}.address`], line[`${name}.port`]];
  if (typeof address !== 'string') return undefined;
  return address.includes(':') ? `[${address}]:${String(port)}` : `${address}:${String(port)}`;
}

function defined(members: LogLine): LogLine {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
