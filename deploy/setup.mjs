// Makes a fresh clone ready: npm dependencies (Node 24 among them) and the Kafka jars. Runs on the
// machine's own Node (≥ 20) with built-in modules only, because nothing is installed yet. When all is
// there already it costs two small file reads.
//
//   node deploy/setup.mjs [--kafka=required|optional]   (default required)
import { createHash } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { resolveKafkaJars } from './kafka/resolve.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const kafkaOptional = process.argv.includes('--kafka=optional')

/** Progress goes to standard error: standard output belongs to the command that follows (--json). */
function say(text) {
  process.stderr.write(`setup: ${text}\n`)
}

function fail(text, next) {
  say(`failed: ${text}`)
  say(`next: ${next}`)
  process.exit(1)
}

function installDependencies() {
  const marker = join(root, 'node_modules', '.cache', 'blockferry-dependencies')
  const wanted = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  const installed = existsSync(marker) && readFileSync(marker, 'utf8') === wanted
  if (installed) return
  say('installing npm dependencies and Node 24 (about half a minute)…')
  // No dependency needs its install script; without them the install is the lock file and nothing else.
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const npm = spawnSync('npm', args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (npm.status !== 0) fail('npm install did not succeed (see above)', 'npm install --ignore-scripts')
  mkdirSync(dirname(marker), { recursive: true })
  writeFileSync(marker, wanted)
  say('dependencies are installed')
}

const [major] = process.versions.node.split('.').map(Number)
if (major < 20) fail(`Node ${process.versions.node} found, 20 or newer expected`, 'install Node 20 or newer')
installDependencies()
try {
  await resolveKafkaJars({ root, log: say })
} catch (error) {
  if (!kafkaOptional) fail(error.message, 'install a JDK 17+ and Maven, or set KAFKA_HOME')
  say(`no Kafka: ${error.message}; tests that need it say so`)
}
