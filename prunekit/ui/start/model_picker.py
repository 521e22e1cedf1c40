"""The three shelves of models on the Start page: samples, torchvision, your own."""

from __future__ import annotations

import streamlit as st

from prunekit import models
from prunekit.errors import PrunekitError
from prunekit.ui.classroom import rules
from prunekit.ui.components import show
from prunekit.ui.shared import model_cache
from prunekit.ui.shared.model_cache import Source
from prunekit.ui.start import gallery
from prunekit.ui.state import session
from prunekit.ui.state.uploads import MOST_FILES, SUFFIXES, uploads

NAMES = {"sample": "Sample models", "torchvision": "torchvision", "own": "Your own"}


def pick() -> str:
    """Show the choice of shelf and return it; the model in use decides until somebody else does."""
    now = session.settings()
    home = "own" if now.upload else gallery.shelf_of(now.model)
    chosen = st.segmented_control(
        "Models", list(NAMES), format_func=NAMES.__getitem__, required=True, label_visibility="collapsed",
        **session.bind("shelf", start="default", show=lambda shelf: shelf or home, take=lambda shelf: "" if shelf == home else shelf),
    )  # fmt: skip
    return str(chosen)


def samples() -> None:
    """Show the samples as cards."""
    gallery.cards(models.list_models("sample"))


def torchvision() -> None:
    """Show every classifier of torchvision in one box, and say what its weights are."""
    now = session.settings()
    names = [entry.name for entry in models.list_models("torchvision")]
    in_use = now.model in names and not now.upload
    key, switch = "pick_torchvision", "pick_pretrained"
    wanted = now.model if in_use else None
    if st.session_state.get(key) != wanted:
        st.session_state[key] = wanted
    if st.session_state.get(switch) != (now.pretrained and in_use):
        st.session_state[switch] = now.pretrained and in_use
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    left.selectbox(
        f"Architecture, {len(names)} classifiers", names, index=None, key=key, placeholder="Choose an architecture",
        format_func=lambda name: name.partition("/")[2], on_change=_take_torchvision, args=(key, switch),
    )  # fmt: skip
    right.toggle("Trained weights (downloads them)", key=switch, on_change=_take_torchvision, args=(key, switch), disabled=not in_use)
    if now.pretrained and in_use:
        st.caption(
            "Weights trained on ImageNet, downloaded once. Accuracy can be measured on image folders that were registered at launch."
        )
    else:
        st.caption(
            "**Random weights, fixed seed**: the same model on every machine. Structure, size, MACs and latency are real; there is no "
            "accuracy to lose. Good for looking at layers, at what shrinks together and at speed."
        )


def _take_torchvision(key: str, switch: str) -> None:
    """Take the picked architecture."""
    name = st.session_state.get(key)
    if name:
        gallery.choose(str(name), pretrained=bool(st.session_state.get(switch)))


def own() -> None:
    """Show the models registered at launch, and the upload of a checkpoint."""
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch"):
        _registered()
    with right, st.container(border=True, height="stretch"):
        _upload()


def _registered() -> None:
    """List the models named on the command line."""
    st.markdown("**Models named at launch**")
    entries = models.list_models("own")
    if not entries:
        st.caption("None yet. Your own architecture is a function that returns a torch module; name it when you start:")
        st.code(
            "prunekit app --model path/to/net.py:make_net --weights net.safetensors --data imagefolder:path/to/images",
            language=None,
            wrap_lines=True,
        )
        return
    now = session.settings()
    for entry in entries:
        name = model_cache.public_name(entry)
        used = now.model == name and not now.upload
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{show.plain(entry.title)}**", width="stretch")
            st.button("In use" if used else "Use", key=f"use_{name}", disabled=used, on_click=gallery.choose, args=(name,))


def _upload() -> None:
    """Take the weights of a known architecture as a file."""
    st.markdown("**Upload weights of a known architecture**")
    if rules.active():
        st.caption("Uploads are off in a class.")
        return
    now = session.settings()
    names = [model_cache.public_name(entry) for entry in models.list_models()]
    missing = bool(now.upload) and uploads().get(now.upload) is None
    if missing:
        st.warning(
            "The weights that this address speaks of are not on this server. Upload the same file again.", icon=":material/upload_file:"
        )
    start = names.index(now.model) if now.upload and now.model in names else None
    name = st.selectbox("Architecture", names, index=start, key="upload_architecture", placeholder="Choose the architecture first")
    file = st.file_uploader(
        "Checkpoint", type=list(SUFFIXES), key="upload_file",
        help=f"Tensors only: a file that holds code is refused. Kept in memory by its fingerprint, the latest {MOST_FILES} files.",
    )  # fmt: skip
    if file is None or name is None:
        st.caption("A state dict as .safetensors, .pt, .pth or .th. Never a script, never a path on this machine.")
        return
    try:
        key = uploads().put(file.name, file.getvalue())
        model_cache.load(Source(name, upload=key))
    except PrunekitError as error:
        st.error(show.said(error), icon=":material/error:")
        return
    if (now.model, now.upload) == (name, key):
        st.caption(f"✓ In use: {show.plain(file.name)}, fingerprint {key}.")
    else:
        st.button(f"Use {file.name}", key="use_upload", type="primary", on_click=_use_upload, args=(name, key))


def _use_upload(name: str, key: str) -> None:
    """Take an uploaded model."""
    gallery.choose(name, upload=key)
