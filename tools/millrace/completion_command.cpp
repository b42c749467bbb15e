#include <memory>
#include <sstream>

#include <CLI/CLI.hpp>

#include "checks.hpp"
#include "command_line.hpp"

namespace millrace::cli {
namespace {

/// Names of the subcommands and long options that may follow.
std::string words_of(const CLI::App& command) {
  std::string words;
  for (const CLI::App* child : command.get_subcommands([](const CLI::App*) { return true; })) {
    words += child->get_name() + ' ';
  }
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + ' ';
  }
  return words;
}

bool takes_device(const CLI::App& command) {
  const auto options = command.get_options();
  return std::any_of(options.begin(), options.end(), [](const CLI::Option* o) { return o->get_name() == "DEVICE"; });
}

/// One `path) words=...` branch of the script for each command.
void write_branches(std::ostream& out, const CLI::App& command, const std::string& path, const std::string& global) {
  const std::string choices = path == "completion" ? "bash zsh " : "";
  out << "    '" << path << "') words='" << choices << words_of(command) << (path.empty() ? "" : global) << "'";
  if (takes_device(command) && command.get_name() != "create") out << "; devices=1";
  out << " ;;\n";
  for (const CLI::App* child : command.get_subcommands([](const CLI::App*) { return true; })) {
    write_branches(out, *child, path + (path.empty() ? "" : " ") + child->get_name(), global);
  }
}

std::string global_options(const CLI::App& app) {
  std::string words;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + ' ';
  }
  return words;
}

void write_bash(std::ostream& out, const CLI::App& app) {
  out << "# Completion of millrace for bash; in ~/.bashrc: source <(millrace completion bash)\n"
         "_millrace() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} path='' word words devices='' positional=0\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    case \"$word\" in -*) continue ;; esac\n"
         "    case \" $(_millrace_words \"$path\") \" in\n"
         "      *\" $word \"*) path=\"${path:+$path }$word\" ;;\n"
         "    esac\n"
         "  done\n"
         "  words=$(_millrace_words \"$path\")\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "  if [[ $cur != -* && -n $(_millrace_words \"$path\" devices) ]]; then\n"
         "    COMPREPLY+=($(timeout 1 millrace device list --ids --limit 50 --prefix \"$cur\" 2>/dev/null))\n"
         "  fi\n"
         "  [[ ${#COMPREPLY[@]} -eq 0 ]] && COMPREPLY=($(compgen -f -- \"$cur\"))\n"
         "}\n"
         "# Words that may follow a path of commands; with a second argument: not empty where a device may stand.\n"
         "_millrace_words() {\n"
         "  local words='' devices=''\n"
         "  case \"$1\" in\n";
  write_branches(out, app, "", global_options(app));
  out << "  esac\n"
         "  if [[ -n ${2:-} ]]; then printf '%s' \"$devices\"; else printf '%s' \"$words\"; fi\n"
         "}\n"
         "complete -F _millrace millrace\n";
}

}  // namespace

void add_completion_command(CLI::App& app, Session& session) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command =
      add_command(app, session, "completion", "a script that lets the shell complete commands and devices",
                  "  source <(millrace completion bash)\n"
                  "  source <(millrace completion zsh)",
                  [&session, &app, shell] {
                    if (*shell == "zsh") session.out() << "autoload -U +X bashcompinit && bashcompinit\n";
                    write_bash(session.out(), app);
                  });
  command->add_option("SHELL", *shell, "bash or zsh")->required()->check(one_of({"bash", "zsh"}));
}

}  // namespace millrace::cli
