import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const buildDeadlineMs = 1_200_000

export type ImageName = 'tap-agent' | 'aggregator' | 'applier' | 'wan' | 'cli' | 'mirror-maker'

/**
 * Builds images as a user does, with `npm run images`, under a prefix of this run alone. `version` goes into a
 * label, so that two tags are two images.
 */
export async function buildImages(options: {
  readonly prefix: string
  readonly tag: string
  readonly version: string
  /** Default all. */
  readonly only?: readonly ImageName[]
}): Promise<void> {
  const { only, prefix, tag, version } = options
  const names = { IMAGE_PREFIX: prefix, IMAGE_TAG: tag, IMAGE_VERSION: version }
  const env = { ...process.env, ...names, ...(only === undefined ? {} : { IMAGE_TARGETS: only.join(',') }) }
  const limits = { timeout: buildDeadlineMs, maxBuffer: 64 << 20 }
  try {
    await promisify(execFile)('npm', ['run', '--silent', 'images'], { cwd: root, env, ...limits })
  } catch (error) {
    const output = error instanceof Error && 'stderr' in error ? String(error.stderr).slice(-4_000) : ''
    throw new Error(`the images of ${prefix}:${tag} were not built\n${output}`, { cause: error })
  }
}
