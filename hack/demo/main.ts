// `make demo`: the main job on a real cluster, told step by step. Stays up until Ctrl-C; with --once it ends after the last step.
// Exit code 0 only if all the evidence held.
import { parseArgs } from 'node:util';
import { messageOf } from '../../lib/errors.ts';
import { currentTarget, leaveCurrent } from './current.ts';
import { embeddedTarget, stopEmbedded } from './embedded.ts';
import { stay } from './stay.ts';
import {
  bareShop,
  deliverImages,
  install,
  protectShop,
  refuseOutsider,
  rotateUnderLoad,
  type Stage,
  showCertificates,
  showConnections,
  wireWithTabard,
} from './steps.ts';
import { openTalk } from './talk.ts';

const usage =
  'usage: main.ts up [--once] [--cluster embedded|current] [--registry HOST/PATH] | main.ts down [--cluster embedded|current]';

async function play(stage: Stage): Promise<void> {
  const images = await deliverImages(stage);
  await install(stage, images);
  await bareShop(stage, images);
  await protectShop(stage, images);
  await showCertificates(stage);
  await showConnections(stage);
  await wireWithTabard(stage);
  await refuseOutsider(stage);
  await rotateUnderLoad(stage);
}

function whatToTry({ talk, target }: Stage): void {
  talk.step('It stays up. Try');
  talk.command(target.prompt('get tlspolicies,pods -n shop'));
  talk.command(target.prompt('describe tlspolicy shop -n shop'));
  talk.command(target.prompt('logs -n shop deployment/api -c tabard-proxy --tail=5'));
  talk.command(target.prompt('explain tlspolicy.spec'));
  talk.command(`${target.prompt('delete secret tabard-api -n shop')}    # it comes back`);
}

async function up(cluster: string, registry: string | undefined, once: boolean): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => stop.abort(new Error('interrupted')));
  }
  const talk = openTalk();
  let broken = false;
  try {
    const target = cluster === 'current' ? await currentTarget(talk, registry) : await embeddedTarget(talk);
    const stage = { talk, target, signal: stop.signal };
    await play(stage);
    if (!once) {
      whatToTry(stage);
      talk.say('Ctrl-C ends the demo and removes everything.');
      await stay(stop.signal);
    }
  } catch (error) {
    broken = !stop.signal.aborted;
    if (broken) talk.proof(false, `the demo stopped: ${messageOf(error)}`);
  }
  await down(cluster, broken);
  talk.say('');
  talk.say(`evidence: ${talk.held} held, ${talk.failed} failed`);
  return talk.failed === 0 && !broken ? 0 : 1;
}

async function down(cluster: string, broken = false): Promise<void> {
  if (broken && process.stdout.isTTY) {
    console.log('    The cluster stays up so that you can look; remove it with: make demo-down');
    return;
  }
  await (cluster === 'current' ? leaveCurrent() : stopEmbedded());
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    once: { type: 'boolean', default: false },
    cluster: { type: 'string', default: 'embedded' },
    registry: { type: 'string' },
  },
});
if (values.cluster !== 'embedded' && values.cluster !== 'current') {
  console.error(`CLUSTER=${values.cluster}: say embedded or current\n${usage}`);
  process.exit(64);
}
switch (positionals[0]) {
  case 'up':
    process.exitCode = await up(values.cluster, values.registry, values.once);
    break;
  case 'down':
    await down(values.cluster);
    break;
  default:
    console.error(usage);
    process.exitCode = 64;
}
