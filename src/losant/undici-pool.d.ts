/** The pool alone: undici's index loads twice as many modules, its own fetch among them. */
declare module 'undici/lib/dispatcher/pool.js' {
  import { Pool } from 'undici';

  export = Pool;
}
