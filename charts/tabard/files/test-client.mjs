// The injected client of `helm test`: its call must be answered, and its sidecar must have made a TLS handshake for it.
const server = process.env.SERVER;
const metrics = process.env.METRICS;
const deadline = Date.now() + Number(process.env.PATIENCE_MS ?? 120_000);

async function get(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000), headers: { connection: 'close' } });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return await response.text();
}

let answer;
let last;
while (answer === undefined && Date.now() < deadline) {
  answer = await get(server).catch((error) => {
    last = error.cause?.message ?? error.message;
  });
  if (answer === undefined) await new Promise((resolve) => setTimeout(resolve, 500));
}
if (answer === undefined) {
  console.log(`FAILED: ${server} did not answer: ${last}`);
  process.exit(1);
}
const handshakes = (await get(metrics))
  .split('\n')
  .filter((line) => /^tabard_handshakes_total\{/.test(line) && /direction="outbound"/.test(line) && /result="ok"/.test(line))
  .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
if (handshakes < 1) {
  console.log('FAILED: the call was answered, but the sidecar made no TLS handshake: the bytes went in plaintext.');
  process.exit(1);
}
console.log(`ok: the injected client was answered "${answer}" over mutual TLS (${handshakes} handshake).`);
