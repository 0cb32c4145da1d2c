// Three suites by what they need: unit (no sockets), integration (sockets, processes, a real API server), e2e (the embedded cluster).
const suite = (name) => ({
  displayName: name,
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  globalTeardown: '<rootDir>/test/support/ending.ts',
  transform: { '\\.ts$': '<rootDir>/test/support/strip-types.js' },
});

export default {
  testSequencer: '<rootDir>/test/support/sequence.js',
  projects: [
    { ...suite('unit'), testMatch: ['<rootDir>/test/*.test.ts', '<rootDir>/test/unit/**/*.test.ts'] },
    suite('integration'),
    {
      ...suite('e2e'),
      globalSetup: '<rootDir>/test/support/e2e/setup.ts',
      globalTeardown: '<rootDir>/test/support/e2e/teardown.ts',
    },
  ],
};
