import { createHash } from 'node:crypto';

/**
 * The script of every page: `/` moves to the search, and a button copies its text. Nothing on a page
 * needs it to be read.
 */
export const SCRIPT = `
addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea')) return;
  event.preventDefault();
  document.getElementById('find').focus();
});
addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (button === null) return;
  const shown = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = '✓';
  } catch {
    button.textContent = '✕';
  }
  setTimeout(() => { button.textContent = shown; }, 1500);
});
`;

/** The source for the Content-Security-Policy: the only script that may run. */
export const SCRIPT_SOURCE = `'sha256-${createHash('sha256').update(SCRIPT).digest('base64')}'`;
