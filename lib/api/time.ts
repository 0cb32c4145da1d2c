// Times as Kubernetes writes them.

/** RFC 3339 in UTC and whole seconds, what lies below a second cut off (metav1.Time of the Kubernetes API). */
export function rfc3339(at: Date): string {
  return at.toISOString().replace(/\.\d+Z$/, 'Z');
}
