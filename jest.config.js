// Three suites by what they need: unit (no sockets), integration (sockets, processes, a real API server), e2e (the embedded cluster).
const suite = (name) => ({
  displayName: name,
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/support/strip-types.js' },
});

export default {
  projects: [
    { ...suite('unit'), testMatch: ['<rootDir>/test/*.test.ts', '<rootDir>/test/unit/**/*.test.ts'] },
    suite('integration'),
    suite('e2e'),
  ],
};
