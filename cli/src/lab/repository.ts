import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The clone this program runs from. */
export const repositoryRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..')
