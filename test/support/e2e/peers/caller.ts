// `caller`: a steady stream of HTTPS calls, each target on new connections and on a lasting one. Prints one JSON line a second: calls, failures, and
// which certificates the targets showed. What fails before a target answered for the first time is not counted: it may not be up yet.
// CALLER_TARGETS: JSON list of targets. CALLER_FOLDER: certificate folder, read again when it was swapped; without it no certificate is shown.
import { readlinkSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import type { Target, TargetReport } from './calls.ts';
import { type Files, readFolder } from './folder.ts';

const targets = JSON.parse(process.env['CALLER_TARGETS'] ?? '[]') as readonly Target[];
const folder = process.env['CALLER_FOLDER'];
const pauseMs = 100;
const callTimeoutMs = 20_000;
const reports = new Map(targets.map(({ name }) => [name, emptyReport()]));

function emptyReport(): TargetReport {
  return { calls: 0, failed: 0, errors: [], serials: [], lasting: { calls: 0, serial: '' }, said: '' };
}

let held: { readonly link: string; readonly files: Files } | undefined;

function ownFiles(): Partial<Files> {
  if (folder === undefined) return {};
  for (;;) {
    const link = readlinkSync(join(folder, '..data'));
    if (held?.link === link) return held.files;
    try {
      held = { link, files: readFolder(folder) };
    } catch (error) {
      // Swapped in between: the next look finds the newer one.
      if (readlinkSync(join(folder, '..data')) === link) throw error;
    }
  }
}

interface Answer {
  readonly serial: string;
  readonly said: string;
}

function call(target: Target, agent: Agent, own: Partial<Files>): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const { host, port, servername = host, ca } = target;
  const trust = ca === undefined ? {} : { ca };
  const options = { host, port, servername, agent, timeout: callTimeoutMs, ...own, ...trust };
  const outgoing = request({ ...options, path: '/', headers: { host: servername } }, (answer) => {
    const serial = (answer.socket as TLSSocket).getPeerX509Certificate()?.serialNumber ?? '';
    let said = '';
    answer.setEncoding('utf8').on('data', (text: string) => (said += text));
    answer.on('error', reject);
    answer.on('end', () =>
      answer.statusCode === 200 ? resolve({ serial, said }) : reject(new Error(`HTTP ${answer.statusCode}: ${said}`)),
    );
  });
  outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')));
  outgoing.on('error', reject);
  outgoing.end();
  return promise;
}

/** A connection of its own for each call, and no session taken up again: each handshake shows the newest certificate. */
async function newConnections(target: Target, report: TargetReport): Promise<never> {
  for (;;) {
    const agent = new Agent({ keepAlive: false, maxCachedSessions: 0 });
    await counted(report, async () => {
      const { serial, said } = await call(target, agent, ownFiles());
      report.said = said;
      if (report.serials.at(-1) !== serial) report.serials.push(serial);
      report.calls += 1;
    });
    agent.destroy();
    await sleep(pauseMs);
  }
}

/** One connection for all calls. Another serial than the first means that it was lost on the way. */
async function lastingConnection(target: Target, report: TargetReport): Promise<never> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0 });
  // An agent makes another connection for another certificate.
  const own = ownFiles();
  for (;;) {
    await counted(report, async () => {
      const { serial } = await call(target, agent, own);
      const { lasting } = report;
      if (lasting.calls > 0 && lasting.serial !== serial) throw new Error('the lasting connection was lost');
      lasting.serial = serial;
      lasting.calls += 1;
    });
    await sleep(pauseMs);
  }
}

async function counted(report: TargetReport, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (report.calls === 0) {
      report.said = String(error);
      return;
    }
    report.failed += 1;
    if (report.errors.length < 10) report.errors.push(`${new Date().toISOString()} ${String(error)}`);
  }
}

process.on('SIGTERM', () => process.exit(0));
setInterval(() => console.log(JSON.stringify(Object.fromEntries(reports))), 1_000);
for (const target of targets) {
  const report = reports.get(target.name);
  if (report === undefined) continue;
  void newConnections(target, report);
  if (target.lasting === true) void lastingConnection(target, report);
}
