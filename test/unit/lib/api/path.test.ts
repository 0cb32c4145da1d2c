// The path by which decisions are made: the same for every spelling that means the same, none where back ends disagree.
import { describe, expect, test } from '@jest/globals';
import { canonicalPath, resolvedPath } from '../../../../lib/api/path.ts';

describe('the canonical path', () => {
  test.each([
    ['/', '/'],
    ['/a/b', '/a/b'],
    ['/a/b/', '/a/b/'],
    ['/a?b=/../c', '/a'],
    ['/%61%2D%7e', '/a-~'],
    ['/caf%c3%a9', '/caf%C3%A9'],
    ['/a%20b', '/a%20b'],
    ['/100%25/x', '/100%25/x'],
    ['/100%25-%61', '/100%25-a'],
    ['/a.b/..c/d..', '/a.b/..c/d..'],
    ['/A/b', '/A/b'],
    ['/a:b@c!d', '/a:b@c!d'],
  ])('of %s is %s', (target, path) => {
    expect(canonicalPath(target)).toEqual({ ok: true, path });
  });

  test.each([
    ['dot_segment', '/a/../b'],
    ['dot_segment', '/a/..'],
    ['dot_segment', '/./a'],
    ['dot_segment', '/a/%2e%2E/b'],
    ['dot_segment', '/a/.%2e'],
    ['parameter', '/a/..;/b'],
    ['parameter', '/a;x=1'],
    ['parameter', '/a%3bx'],
    ['empty_segment', '//a'],
    ['empty_segment', '/a//b'],
    ['escaped_separator', '/a%2Fb'],
    ['backslash', '/a\\b'],
    ['backslash', '/a%5Cb'],
    ['escaped_control', '/a%00'],
    ['escaped_control', '/a%0d%0aX'],
    ['escaped_non_utf8', '/a%ff'],
    ['escaped_non_utf8', '/a%c0%af'],
    ['twice_escaped', '/a%252f'],
    ['twice_escaped', '/a%252e%252e'],
    ['twice_escaped', '/%25%32%65%25%32%65/a'],
    ['twice_escaped', '/a%25%32f'],
    ['twice_escaped', '/a%252%66'],
    ['bad_escape', '/a%2'],
    ['bad_escape', '/a%zz'],
    ['not_a_path', '*'],
    ['not_a_path', 'web:443'],
    ['not_a_path', 'http://web/a'],
  ])('is refused as %s: %s', (why, target) => {
    expect(canonicalPath(target)).toEqual({ ok: false, why });
  });
});

describe('a path as servers read it that resolve escapes', () => {
  test.each([
    ['/items:purge', '/items:purge'],
    ['/items%3Apurge', '/items:purge'],
    ['/u/%40me', '/u/@me'],
    ['/%21%24%26%27%28%29%2A%2B%2C%3D', "/!$&'()*+,="],
    ['/a|b^c`d{e}[f]', '/a%7Cb%5Ec%60d%7Be%7D%5Bf%5D'],
    ['/a%20b%25%3F%23%C3%A9', '/a%20b%25%3F%23%C3%A9'],
    ['/a-b/c_d.e~f', '/a-b/c_d.e~f'],
  ])('of %s is %s', (path, read) => {
    expect(resolvedPath(path)).toBe(read);
  });
});
