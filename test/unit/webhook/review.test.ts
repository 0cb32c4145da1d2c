import { describe, expect, test } from '@jest/globals';
import { AppError } from '../../../lib/errors.ts';
import type { JsonObject } from '../../../webhook/json.ts';
import { formatReview, parseReview } from '../../../webhook/review.ts';
import { reviewOf } from '../../support/webhook.ts';

const pod: JsonObject = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web' }, spec: {} };
const without = (member: string): JsonObject => {
  const review = reviewOf(pod);
  const request = Object.entries(review['request'] as JsonObject).filter(([key]) => key !== member);
  return { ...review, request: Object.fromEntries(request) };
};

describe('parseReview', () => {
  test('reads what admission needs and keeps the object as it is', () => {
    expect(parseReview(JSON.stringify(reviewOf(pod, { dryRun: true, before: pod })))).toEqual({
      uid: 'review-1',
      operation: 'UPDATE',
      dryRun: true,
      namespace: 'shop',
      name: 'web',
      kind: 'Pod',
      object: pod,
      before: pod,
    });
  });

  test('an object of no namespace may be of Tabard alone', () => {
    const role = { apiVersion: 'tabard.dev/v1alpha1', kind: 'TLSRole', metadata: { name: 'r' }, spec: {} };
    const review = reviewOf(role);
    const request = Object.entries(review['request'] as JsonObject).filter(([key]) => key !== 'namespace');
    const { namespace, kind } = parseReview(JSON.stringify({ ...review, request: Object.fromEntries(request) }));
    expect([namespace, kind]).toEqual(['', 'TLSRole']);
  });

  test('an object before a CREATE does not exist', () => {
    expect(parseReview(JSON.stringify(reviewOf(pod))).before).toBeUndefined();
  });

  test.each([
    { name: 'no JSON', body: '{' },
    { name: 'a list', body: '[]' },
    { name: 'null', body: 'null' },
    { name: 'another kind', body: JSON.stringify({ ...reviewOf(pod), kind: 'ConversionReview' }) },
    { name: 'another version', body: JSON.stringify({ ...reviewOf(pod), apiVersion: 'admission.k8s.io/v1beta1' }) },
    { name: 'a review without a request', body: JSON.stringify({ ...reviewOf(pod), request: null }) },
    ...['uid', 'object', 'operation', 'namespace'].map((member) => ({
      name: `a review without ${member}`,
      body: JSON.stringify(without(member)),
    })),
    { name: 'a deletion', body: JSON.stringify(reviewOf(pod)).replace('"CREATE"', '"DELETE"') },
  ])('refuses $name', ({ body }) => {
    expect(() => parseReview(body)).toThrow(AppError);
  });
});

describe('formatReview', () => {
  const answer = { allowed: true, operations: [], warnings: [], audit: { outcome: 'skipped' } };

  test('an answer without a patch has no patchType', () => {
    expect(formatReview('u', answer)).toEqual({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: 'u', allowed: true, auditAnnotations: { outcome: 'skipped' } },
    });
  });

  test('a patch is base64 of its JSON', () => {
    const operations = [{ op: 'add' as const, path: '/a', value: 'ä' }];
    const response = formatReview('u', { ...answer, operations })['response'] as { patchType: string; patch: string };
    expect(response.patchType).toBe('JSONPatch');
    expect(JSON.parse(Buffer.from(response.patch, 'base64').toString())).toEqual(operations);
  });

  test('a refusal states why and carries no patch', () => {
    const operations = [{ op: 'remove' as const, path: '/a' }];
    expect(formatReview('u', { ...answer, allowed: false, message: 'no', operations })['response']).toEqual({
      uid: 'u',
      allowed: false,
      status: { code: 403, reason: 'Forbidden', message: 'no' },
      auditAnnotations: { outcome: 'skipped' },
    });
  });

  test('warnings are short enough for the API server to pass on', () => {
    const response = formatReview('u', { ...answer, warnings: ['a', 'b'.repeat(400)] })['response'] as {
      warnings: string[];
    };
    expect(response.warnings.map((each) => each.length)).toEqual(['tabard: a'.length, 256]);
  });
});
