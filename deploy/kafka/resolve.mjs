/*
 * Finds the Kafka jars: an existing KAFKA_HOME, else Maven's copy of what pom.xml names. Plain JavaScript
 * and built-in modules only: setup runs this on Node 20, before anything is installed.
 */
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const kafkaVersion = '4.3.1'
const markerName = '.pom-sha256'
const pomPath = join(dirname(fileURLToPath(import.meta.url)), 'pom.xml')
const lockWaitMsMax = 300_000

/** What is missing, in words for whoever has to install it. */
export class KafkaJarsError extends Error {
  name = 'KafkaJarsError'
}

/**
 * The directory whose jars make the class path of a broker and of MirrorMaker.
 *
 * @param {{ root: string, log?: (line: string) => void, env?: NodeJS.ProcessEnv }} options root: the repository
 * @returns {Promise<{ classpathDirectory: string }>}
 */
export async function resolveKafkaJars({ root, log = () => {}, env = process.env }) {
  const home = env.KAFKA_HOME
  if (home) return { classpathDirectory: checkedKafkaHome(home) }
  const directory = kafkaJarsDirectory(root)
  if (isResolved(directory)) return { classpathDirectory: directory }
  requireCommand(
    'java',
    ['-version'],
    'a JDK or JRE 17 or newer (Debian: apt-get install openjdk-17-jre-headless)',
  )
  requireCommand(
    'mvn',
    ['-v'],
    'Maven (Debian: apt-get install maven), or set KAFKA_HOME to an unpacked Kafka',
  )
  await resolveOnce(directory, log)
  return { classpathDirectory: directory }
}

/** Where Maven's copy goes; under node_modules so that no run directory or commit ever holds it. */
export function kafkaJarsDirectory(root) {
  return join(root, 'node_modules', '.cache', `kafka-${kafkaVersion}`)
}

/** True when the jars are there and belong to this pom. */
export function isResolved(directory) {
  const marker = join(directory, markerName)
  return existsSync(marker) && readFileSync(marker, 'utf8').trim() === pomHash()
}

function pomHash() {
  return createHash('sha256').update(readFileSync(pomPath)).digest('hex')
}

function checkedKafkaHome(home) {
  const libs = existsSync(join(home, 'libs')) ? join(home, 'libs') : home
  const jars = existsSync(libs) ? readdirSync(libs) : []
  for (const prefix of ['kafka_2', 'connect-mirror']) {
    if (!jars.some((jar) => jar.startsWith(prefix) && jar.endsWith('.jar'))) {
      throw new KafkaJarsError(
        `KAFKA_HOME=${home} holds no ${prefix}*.jar in ${libs}; unset it or point it at Kafka 4`,
      )
    }
  }
  return libs
}

function requireCommand(command, args, needed) {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
  } catch (cause) {
    throw new KafkaJarsError(`"${command}" does not run: install ${needed}`, { cause })
  }
}

/** Two setups at once: the one that makes the lock directory copies, the other waits for its marker. */
async function resolveOnce(directory, log) {
  const lock = `${directory}.lock`
  mkdirSync(dirname(directory), { recursive: true })
  const deadline = Date.now() + lockWaitMsMax
  while (!tryLock(lock)) {
    if (Date.now() > deadline) throw new KafkaJarsError(`another setup holds ${lock}; remove it if none runs`)
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  try {
    if (!isResolved(directory)) await copyJars(directory, log)
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

/** The lock names its holder, so that a killed setup does not block the next. */
function tryLock(lock) {
  try {
    mkdirSync(lock)
    writeFileSync(join(lock, 'pid'), String(process.pid))
    return true
  } catch {
    if (!holderIsGone(join(lock, 'pid'))) return false
    rmSync(lock, { recursive: true, force: true })
    return false
  }
}

function holderIsGone(pidFile) {
  if (!existsSync(pidFile)) return false
  try {
    process.kill(Number(readFileSync(pidFile, 'utf8')), 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH'
  }
}

async function copyJars(directory, log) {
  const startedMs = Date.now()
  log(`Kafka ${kafkaVersion}: fetching jars with Maven (about 55 MB, once)`)
  const staging = `${directory}.${process.pid}.partial`
  rmSync(staging, { recursive: true, force: true })
  const ticker = setInterval(() => log(`Kafka ${kafkaVersion}: ${jarCount(staging)} jars so far`), 5_000)
  try {
    await runMaven(staging)
    writeFileSync(join(staging, markerName), `${pomHash()}\n`)
    rmSync(directory, { recursive: true, force: true })
    renameSync(staging, directory)
  } finally {
    clearInterval(ticker)
    rmSync(staging, { recursive: true, force: true })
  }
  log(
    `Kafka ${kafkaVersion}: ${jarCount(directory)} jars in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`,
  )
}

function jarCount(directory) {
  return existsSync(directory) ? readdirSync(directory).filter((name) => name.endsWith('.jar')).length : 0
}

function runMaven(outputDirectory) {
  const args = [
    '-q',
    '-B',
    '-f',
    pomPath,
    'dependency:copy-dependencies',
    `-DoutputDirectory=${outputDirectory}`,
    '-DincludeScope=runtime',
  ]
  return new Promise((resolve, reject) => {
    const child = spawn('mvn', args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let tail = ''
    const keep = (chunk) => {
      tail = (tail + chunk).slice(-4_000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.on('error', (cause) => reject(new KafkaJarsError('"mvn" does not run', { cause })))
    child.on('exit', (code) => {
      if (code === 0) resolve()
      else
        reject(
          new KafkaJarsError(
            `Maven could not fetch the Kafka jars (exit ${code}); is its repository reachable?\n${tail}`,
          ),
        )
    })
  })
}
