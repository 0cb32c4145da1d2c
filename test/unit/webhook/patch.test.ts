import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AppError } from '../../../lib/errors.ts';
import { arrayAt, type Json, type JsonObject } from '../../../webhook/json.ts';
import { PatchBuilder, pointer } from '../../../webhook/patch.ts';
import { anyJson, patched } from '../../support/webhook.ts';

describe('pointer', () => {
  test.each([
    { path: [], text: '' },
    { path: ['metadata', 'annotations', 'tabard.dev/inject'], text: '/metadata/annotations/tabard.dev~1inject' },
    { path: ['a~b', '~1', ''], text: '/a~0b/~01/' },
    { path: ['spec', 'containers', 0], text: '/spec/containers/0' },
  ])('writes $path as $text (RFC 6901)', ({ path, text }) => {
    expect(pointer(path)).toBe(text);
  });
});

describe('PatchBuilder', () => {
  const change = (document: JsonObject, act: (patch: PatchBuilder) => void) => {
    const patch = new PatchBuilder(document);
    act(patch);
    return patch;
  };

  test.each<{ name: string; document: JsonObject; act: (patch: PatchBuilder) => void; operations: Json }>([
    {
      name: 'makes absent parents in one operation',
      document: {},
      act: (patch) => patch.set(['metadata', 'labels', 'a/b'], '1'),
      operations: [{ op: 'add', path: '/metadata', value: { labels: { 'a/b': '1' } } }],
    },
    {
      name: 'treats null as absent',
      document: { metadata: { labels: null }, spec: { volumes: null } },
      act: (patch) => {
        patch.set(['metadata', 'labels', 'a'], '1');
        patch.append(['spec', 'volumes'], { name: 'v' });
      },
      operations: [
        { op: 'add', path: '/metadata/labels', value: { a: '1' } },
        { op: 'add', path: '/spec/volumes', value: [{ name: 'v' }] },
      ],
    },
    {
      name: 'replaces what is there and says nothing about what is right already',
      document: { a: { b: 1, c: [1, { d: 2, e: 3 }] } },
      act: (patch) => {
        patch.set(['a', 'b'], 2);
        patch.set(['a', 'c'], [1, { e: 3, d: 2 }]);
      },
      operations: [{ op: 'replace', path: '/a/b', value: 2 }],
    },
    {
      name: 'sees its own changes when it counts positions',
      document: { list: [{ name: 'x' }] },
      act: (patch) => {
        patch.insert(['list'], 0, { name: 'a' });
        patch.insert(['list'], 1, { name: 'b' });
        patch.append(['list'], { name: 'z' });
        patch.remove(['list', 2]);
        patch.set(['list', 2, 'name'], 'y');
      },
      operations: [
        { op: 'add', path: '/list/0', value: { name: 'a' } },
        { op: 'add', path: '/list/1', value: { name: 'b' } },
        { op: 'add', path: '/list/3', value: { name: 'z' } },
        { op: 'remove', path: '/list/2' },
        { op: 'replace', path: '/list/2/name', value: 'y' },
      ],
    },
    {
      name: 'does not remove what is not there',
      document: { a: {} },
      act: (patch) => patch.remove(['a', 'b']),
      operations: [],
    },
  ])('$name', ({ document, act, operations }) => {
    const patch = change(document, act);
    expect(patch.operations).toEqual(operations);
    expect(patched(document, patch.operations)).toEqual(patch.document);
  });

  test('never changes the document that it was given', () => {
    const document = { a: { b: [1] } };
    change(document, (patch) => {
      patch.append(['a', 'b'], 2);
      patch.set(['a', 'c'], {});
    });
    expect(document).toEqual({ a: { b: [1] } });
  });

  test.each<{ name: string; act: (patch: PatchBuilder) => void }>([
    { name: 'a path through a text', act: (patch) => patch.set(['text', 'x'], 1) },
    { name: 'a member of a list', act: (patch) => patch.set(['list', 'x'], 1) },
    { name: 'a position past the end', act: (patch) => patch.insert(['list'], 2, 1) },
    { name: 'the document itself', act: (patch) => patch.set([], {}) },
  ])('refuses $name', ({ act }) => {
    expect(() => change({ text: 'x', list: [1] }, act)).toThrow(AppError);
  });

  test('its document is what another implementation of RFC 6902 makes of its operations', () => {
    const key = fc.constantFrom('a', 'b/c', '~d', 'list', '', '0');
    const document = fc.dictionary(key, anyJson(3), { noNullPrototype: true });
    const step = fc.record({
      kind: fc.constantFrom('set', 'append', 'insert', 'remove'),
      path: fc.array(key, { minLength: 1, maxLength: 3 }),
      value: anyJson(1),
    });
    fc.assert(
      fc.property(document, fc.array(step, { maxLength: 8 }), (start, steps) => {
        const patch = new PatchBuilder(start);
        for (const { kind, path, value } of steps) {
          try {
            if (kind === 'set') patch.set(path, value);
            else if (kind === 'append') patch.append(path, value);
            else if (kind === 'remove') patch.remove(path);
            else patch.insert(path, Math.min(1, arrayAt(patch.document, ...path).length), value);
          } catch (error) {
            expect(error).toBeInstanceOf(AppError);
          }
        }
        // As JSON, which has no -0.
        const document = JSON.parse(JSON.stringify(patch.document)) as JsonObject;
        expect(patched(start as JsonObject, patch.operations)).toEqual(document);
      }),
      { numRuns: 500 },
    );
  });
});
