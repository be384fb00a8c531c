import { afterAll, beforeAll } from 'vitest';
import { createTestDatabase, type TestDatabase } from './support/databases.ts';

/** Opens a resource before the tests of a file or group and closes it after them. Only tests and hooks can use it. */
export function useOpened<T extends object>(open: () => Promise<T>, close: (opened: T) => unknown): T {
  let opened: T | undefined;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(async () => {
    if (opened !== undefined) await close(opened);
  });
  return new Proxy({} as T, {
    get: (_, name): unknown => {
      if (opened === undefined) throw new Error(`${String(name)} is read before it is opened`);
      const value: unknown = Reflect.get(opened, name);
      return typeof value === 'function' ? (value.bind(opened) as unknown) : value;
    },
  });
}

export const useDisposable = <T extends AsyncDisposable>(open: () => Promise<T>): T =>
  useOpened(open, (opened) => opened[Symbol.asyncDispose]());

export function useTestDatabase(options: { template?: boolean } = {}): TestDatabase {
  const open = () => createTestDatabase(options);
  return useOpened(open, (database) => database.drop());
}
