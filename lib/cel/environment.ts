// The variables that conditions know, with their types, and how large a condition may be. Pure.
import { Environment } from '@marcbachmann/cel-js';
import { Auth, Destination, Request, Source } from './facts.ts';

/** Nodes of an expression, their depth, and elements of a list written in it. */
const limits = { maxAstNodes: 256, maxDepth: 32, maxListElements: 64, maxMapEntries: 64, maxCallArguments: 8 };

/** Where conditions are parsed, checked and evaluated. */
export const environment = new Environment({ unlistedVariablesAreDyn: false, limits })
  .registerType('Auth', { ctor: Auth, fields: { present: 'bool', claims: 'map<string, dyn>' } })
  .registerType('Source', {
    ctor: Source,
    fields: { identity: 'string', namespace: 'string', service: 'string', address: 'string' },
  })
  .registerType('Destination', { ctor: Destination, fields: { port: 'int' } })
  .registerType('Request', {
    ctor: Request,
    fields: { method: 'string', path: 'string', host: 'string', headers: 'map<string, string>', auth: 'Auth' },
  })
  .registerVariable('source', 'Source')
  .registerVariable('destination', 'Destination')
  .registerVariable('request', 'Request')
  .registerVariable('now', 'google.protobuf.Timestamp');
