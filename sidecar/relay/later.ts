// A callback at the end of what runs now, before the event loop goes on. Node's queueMicrotask does the same, and makes a resource for
// asynchronous hooks each time: felt where it is done for every connection.

const resolved = Promise.resolve();

/** Runs something as a microtask. It must not throw: nobody would hear of it but as of a promise that was rejected. */
export function later(run: () => void): void {
  void resolved.then(run);
}
