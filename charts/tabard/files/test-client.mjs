// The injected client of `helm test`: its call must be answered, and its sidecar must have made a TLS handshake for it.
const server = process.env.SERVER;
const sidecar = process.env.SIDECAR;
const deadline = Date.now() + Number(process.env.PATIENCE_MS ?? 120_000);

async function get(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000), headers: { connection: 'close' } });
  if (!response.ok) throw new Error(`it answered ${response.status}: ${(await response.text()).trim()}`);
  return await response.text();
}

const causeOf = (error) => error.cause?.message ?? error.message;

/** Counters of handshakes, by everything but their value. */
async function handshakes() {
  const lines = (await get(`${sidecar}/metrics`)).split('\n').filter((line) => line.startsWith('tabard_handshakes_total{'));
  return lines.filter((line) => line.includes('direction="outbound"'));
}

// The pod goes when the test ends, so what it knows must be said now.
async function fail(text) {
  console.log(`FAILED: ${text}`);
  console.log(`The sidecar's readiness: ${await get(`${sidecar}/ready`).then((answer) => answer.trim(), causeOf)}`);
  console.log(`The sidecar's handshakes: ${await handshakes().then((lines) => lines.join(' ') || 'none', causeOf)}`);
  process.exit(1);
}

let answer;
let last;
while (answer === undefined && Date.now() < deadline) {
  try {
    answer = await get(server);
  } catch (error) {
    last = causeOf(error);
  }
  if (answer === undefined) await new Promise((resolve) => setTimeout(resolve, 500));
}
if (answer === undefined) await fail(`${server} did not answer as it should: ${last}`);
const made = (await handshakes())
  .filter((line) => line.includes('result="ok"'))
  .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
if (made < 1) await fail('the call was answered, but the sidecar made no TLS handshake: the bytes went in plaintext.');
console.log(`ok: the injected client was answered "${answer}" over mutual TLS (handshakes: ${made}).`);
