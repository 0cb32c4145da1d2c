// Jest transform: the tests run the same text as production, with types stripped by Node itself.
import { stripTypeScriptTypes } from 'node:module';

export default {
  process: (source) => ({ code: stripTypeScriptTypes(source) }),
};
