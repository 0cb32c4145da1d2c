// Jest sequencer: test files run by name, so that the end-to-end suites have one order (z-uninstall comes last).
import Sequencer from '@jest/test-sequencer';

export default class ByName extends Sequencer {
  sort(tests) {
    return [...tests].sort((a, b) => (a.path < b.path ? -1 : 1));
  }
}
