import { renameSync, writeFileSync } from 'node:fs'

/** Replaces a small file whole: a reader sees the old content or the new, never half of one. */
export function writeFileAtomically(path: string, content: string): void {
  const draft = `${path}.${process.pid}.new`
  writeFileSync(draft, content)
  renameSync(draft, path)
}
