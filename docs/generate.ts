import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { renderConfigurationReference } from './reference/configuration.ts'
import { renderErrorReference } from './reference/errors.ts'

/** `npm run docs` rewrites the generated references; with --check it fails where one is stale. */
const root = fileURLToPath(new URL('..', import.meta.url))
const documents = {
  'docs/errors.md': await renderErrorReference(root),
  'docs/configuration.md': await renderConfigurationReference(root),
}

let stale = 0
for (const [path, text] of Object.entries(documents)) {
  if (!process.argv.includes('--check')) writeFileSync(join(root, path), text)
  else if (readFileSync(join(root, path), 'utf8') !== text) {
    process.stderr.write(`${path} is not what the code says; run "npm run docs"\n`)
    stale += 1
  }
}
process.exitCode = stale === 0 ? 0 : 1
