// Builds every image: npm run images [-- ARGS OF docker build…]
//
//   IMAGE_PREFIX (default blockferry), IMAGE_TAG (default latest): names become PREFIX/TARGET:TAG
//   IMAGE_TARGETS: only these, separated by commas
//   IMAGE_VERSION (default: package.json's), IMAGE_REVISION (default: git's), IMAGE_SOURCE: for the labels
//   DOCKER: the docker command (default docker)
//
// Runs on the machine's own Node (20 or newer) with built-in modules only; nothing has to be installed.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const directory = dirname(fileURLToPath(import.meta.url))
const root = join(directory, '..', '..')
const allTargets = ['tap-agent', 'aggregator', 'applier', 'wan', 'cli', 'mirror-maker']
const env = process.env
const docker = env.DOCKER ?? 'docker'
const targets = env.IMAGE_TARGETS === undefined ? allTargets : env.IMAGE_TARGETS.split(',')
const facts = {
  VERSION: env.IMAGE_VERSION ?? JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version,
  REVISION: env.IMAGE_REVISION ?? gitRevision(),
  SOURCE: env.IMAGE_SOURCE ?? '',
}

for (const target of targets) build(target)

function build(target) {
  if (!allTargets.includes(target)) fail(`"${target}" is no target; there are ${allTargets.join(', ')}`)
  const image = `${env.IMAGE_PREFIX ?? 'blockferry'}/${target}:${env.IMAGE_TAG ?? 'latest'}`
  const labels = Object.entries(facts).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`])
  const args = ['build', '-f', join(directory, 'Dockerfile'), '--target', target, '-t', image, ...labels]
  const startedMs = Date.now()
  const done = spawnSync(docker, [...args, ...process.argv.slice(2), root], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (done.error !== undefined) fail(`"${docker}" does not run: ${done.error.message}`)
  if (done.status !== 0) fail(`${image} was not built (status ${done.status}); the build's output is above`)
  say(`${image} built in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`)
}

function gitRevision() {
  const asked = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' })
  return asked.status === 0 ? asked.stdout.trim() : 'unknown'
}

function say(text) {
  process.stderr.write(`images: ${text}\n`)
}

function fail(text) {
  say(text)
  process.exit(1)
}
